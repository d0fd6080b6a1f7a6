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
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

fn error(code: i32, message: &str, what_to_do: &str) -> ErrorObjectOwned {
    let data = Data { why: message, what_to_do, retry_after_ms: None };
    ErrorObjectOwned::owned(code, message, Some(data))
}

/// A transaction that is not taken.
pub(super) fn refused(refusal: &AdmissionError) -> ErrorObjectOwned {
    let why = refusal.to_string();
    let retry_after = refusal.retry_after();
    let retry_after_ms = retry_after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
    let data = Data { why: &why, what_to_do: refusal.what_to_do(), retry_after_ms };
    ErrorObjectOwned::owned(refusal.rpc_code(), &why, Some(data))
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
