//! JSON-RPC errors with geth's codes.

use alloy::primitives::Bytes;
use alloy::sol_types::{Revert, SolError};
use serde_json::{Value, json};

use crate::chain::execute::ExecutionError;
use crate::pool::PoolError;

/// What a failed call is answered with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RpcError {
    pub(crate) code: i64,
    pub(crate) message: String,
    pub(crate) data: Option<Value>,
}

impl RpcError {
    fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// The body is not JSON.
    pub(crate) fn parse(message: impl Into<String>) -> Self {
        Self::new(-32700, message)
    }

    /// JSON, but not a request.
    pub(crate) fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(-32600, message)
    }

    pub(crate) fn unknown_method(method: &str) -> Self {
        let name: String = method.chars().take(64).collect();
        Self::new(-32601, format!("the method {name} does not exist/is not available"))
    }

    pub(crate) fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(-32602, message)
    }

    /// Anything else that failed.
    pub(crate) fn server(message: impl Into<String>) -> Self {
        Self::new(-32000, message)
    }

    /// More was asked for than one answer may hold.
    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self::new(-32005, message)
    }

    pub(crate) fn header_not_found() -> Self {
        Self::server("header not found")
    }

    pub(crate) fn pruned() -> Self {
        Self::new(4444, "pruned history unavailable")
    }

    /// The EVM reverted: code 3 with the returned bytes, as geth.
    pub(crate) fn reverted(output: &Bytes) -> Self {
        let message = match Revert::abi_decode(output) {
            Ok(revert) => format!("execution reverted: {}", revert.reason()),
            Err(_) => "execution reverted".into(),
        };
        Self { code: 3, message, data: Some(json!(output)) }
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let (Some(data), Some(fields)) = (&self.data, error.as_object_mut()) {
            fields.insert("data".into(), data.clone());
        }
        error
    }
}

impl From<PoolError> for RpcError {
    fn from(error: PoolError) -> Self {
        Self::server(error.to_string())
    }
}

impl From<ExecutionError> for RpcError {
    fn from(error: ExecutionError) -> Self {
        Self::server(error.to_string())
    }
}
