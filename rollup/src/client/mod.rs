//! The client's side of [`crate::wire`].
//!
//! [`Session`] is one connection to one node: submit, and read verified events. [`Follower`] keeps a session to one of
//! several nodes, resumes from its cursor at the next one when a node fails or lies, and yields every block once, in
//! order. [`Nodes`] asks single questions of whichever node answers: sealed batches, the founding key, status.
//!
//! Events come through a bounded queue, so every method here may be dropped half-way (in a `select!`) without loss.

mod connect;
mod follow;
mod link;
mod nodes;
mod session;

pub use connect::{ConnectError, Connector, client_tls};
pub use follow::{FollowEvent, Follower};
pub use link::LinkError;
pub use nodes::{Nodes, RequestError};
pub use session::{Event, Events, Session, SessionError, Submitter};
