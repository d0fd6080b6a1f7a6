//! Talking to an L1 node: JSON-RPC over HTTP(S) and the beacon API, with bounded answers, time limits and typed errors.

mod beacon;
mod http;
mod rpc;

#[cfg(feature = "fuzzing")]
pub(crate) use beacon::read_any_answer;
pub use beacon::{Beacon, BeaconError};
pub use http::{EndpointError, HttpError, endpoint_name};
#[cfg(feature = "fuzzing")]
pub(crate) use rpc::read_answer;
pub use rpc::{Rpc, RpcError, RpcRefusal};
