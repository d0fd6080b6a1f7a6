//! The face of the core that the pump needs; tests put a small one behind it.

use node_core::NodeCore;
use ordering_types::{Time, Transaction, TxId};

use crate::admission::AdmissionError;
use crate::core_api::{Input, Output, Status};

/// A synchronous core; see [`node_core`].
pub(crate) trait Core: Send + 'static {
    /// Takes a transaction of a client.
    fn submit(&mut self, now: Time, transaction: Transaction) -> Result<TxId, AdmissionError>;
    /// Takes an input.
    fn handle(&mut self, now: Time, input: Input);
    /// Gives outputs, in order, until there is none.
    fn next_output(&mut self) -> Option<Output>;
    /// When to wake it.
    fn next_deadline(&self) -> Option<Time>;
    /// A snapshot.
    fn status(&self) -> Status;
}

impl Core for NodeCore {
    fn submit(&mut self, now: Time, transaction: Transaction) -> Result<TxId, AdmissionError> {
        Self::submit(self, now, transaction).map_err(Into::into)
    }

    fn handle(&mut self, now: Time, input: Input) {
        Self::handle(self, now, input);
    }

    fn next_output(&mut self) -> Option<Output> {
        Self::next_output(self)
    }

    fn next_deadline(&self) -> Option<Time> {
        Self::next_deadline(self)
    }

    fn status(&self) -> Status {
        Self::status(self)
    }
}
