//! Talking to an L1 node: JSON-RPC over HTTP(S) and the beacon API, with bounded answers, time limits and typed errors.

mod beacon;
mod http;
mod rpc;

pub use beacon::{Beacon, BeaconError};
pub use http::{EndpointError, HttpError};
pub use rpc::{Rpc, RpcError, RpcRefusal};
