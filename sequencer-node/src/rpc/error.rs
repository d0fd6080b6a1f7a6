//! Errors of JSON-RPC. Each has a code, and data that says why and what to do.

use jsonrpsee::types::ErrorObjectOwned;
use jsonrpsee::types::error::{INTERNAL_ERROR_CODE, INVALID_PARAMS_CODE, METHOD_NOT_FOUND_CODE};
use serde::Serialize;

use crate::admission::AdmissionError;
use crate::front::ReadError;

/// What a caller asked for does not exist (yet, or any more).
const NOT_FOUND: i32 = -32_001;

/// The `data` of an error.
#[derive(Debug, Serialize)]
struct Data<'a> {
    why: &'a str,
    what_to_do: &'a str,
}

fn error(code: i32, message: &str, what_to_do: &str) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(code, message, Some(Data { why: message, what_to_do }))
}

/// A transaction that is not taken.
pub(super) fn refused(refusal: &AdmissionError) -> ErrorObjectOwned {
    error(refusal.rpc_code(), &refusal.to_string(), refusal.what_to_do())
}

/// The store does not answer.
pub(super) fn unreadable(failure: &ReadError) -> ErrorObjectOwned {
    tracing::error!(error = %failure, "cannot read the store to answer a client; check the disk");
    error(INTERNAL_ERROR_CODE, "this node cannot read its store", "ask another validator")
}

/// Nothing there.
pub(super) fn not_found(what: &str, what_to_do: &str) -> ErrorObjectOwned {
    error(NOT_FOUND, what, what_to_do)
}

/// A parameter that is none.
pub(super) fn invalid(what: &str, what_to_do: &str) -> ErrorObjectOwned {
    error(INVALID_PARAMS_CODE, what, what_to_do)
}

/// A method that this path does not have.
pub(super) fn no_method(what: &str, what_to_do: &str) -> ErrorObjectOwned {
    error(METHOD_NOT_FOUND_CODE, what, what_to_do)
}
