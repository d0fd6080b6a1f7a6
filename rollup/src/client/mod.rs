//! The client's side of [`crate::wire`].
//!
//! [`Session`] is one connection to one node: submit, and read verified events. [`Follower`] keeps a session to one of
//! several nodes, resumes from its cursor at the next one when a node fails, lies or leaves the committee, and yields every block once, in
//! order. [`Courier`] submits through it, and sends again to the next node what the last one did not get ordered. [`Nodes`] asks single
//! questions of whichever node answers: sealed batches, handovers, the founding key, status.
//!
//! Nodes that left the committee answer as well, and are believed as little: what counts is who signed. When no configured node is a
//! member any more, [`Stranded`] says so.
//!
//! Events come through a bounded queue, so every method here may be dropped half-way (in a `select!`) without loss.

mod connect;
mod courier;
mod follow;
mod learn;
mod link;
mod nodes;
mod reader;
mod session;
mod stranded;

pub use connect::{ConnectError, Connector, client_tls};
pub use courier::{Courier, CourierError, CourierEvent, MAX_WAITING, MAX_WAITING_BYTES, PATIENCE};
pub use follow::{FollowEvent, Follower};
pub use link::LinkError;
pub(crate) use nodes::ask;
pub use nodes::{Nodes, RequestError};
pub use session::{Event, Events, Session, SessionError, Submitter};
pub use stranded::Stranded;
