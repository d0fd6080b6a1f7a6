//! Positional parameters of a JSON-RPC call.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::RpcError;

/// The parameters of one call.
#[derive(Debug, Default)]
pub(crate) struct Params(Vec<Value>);

impl Params {
    /// # Errors
    /// Not an array and not absent.
    pub(crate) fn parse(value: Option<Value>) -> Result<Self, RpcError> {
        match value {
            None | Some(Value::Null) => Ok(Self::default()),
            Some(Value::Array(values)) => Ok(Self(values)),
            Some(_) => Err(RpcError::invalid_params("non-array args")),
        }
    }

    /// The parameter at `index`; `None` if absent or null.
    ///
    /// # Errors
    /// It has the wrong shape.
    pub(crate) fn optional<T: DeserializeOwned>(&self, index: usize) -> Result<Option<T>, RpcError> {
        match self.0.get(index) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::deserialize(value)
                .map(Some)
                .map_err(|error| RpcError::invalid_params(format!("invalid argument {index}: {error}"))),
        }
    }

    /// The parameter at `index`.
    ///
    /// # Errors
    /// It is absent or has the wrong shape.
    pub(crate) fn required<T: DeserializeOwned>(&self, index: usize) -> Result<T, RpcError> {
        self.optional(index)?
            .ok_or_else(|| RpcError::invalid_params(format!("missing value for required argument {index}")))
    }
}
