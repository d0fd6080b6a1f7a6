//! Asks every side again and again how it is: the loop says nothing of L1 while there is nothing to post, nor of the others while it waits for L1.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rollup::client::Nodes;

use super::carry::CarryError;
use super::execution::Execution;
use super::feeder::Trouble;
use super::followed::FollowError;
use super::status::{Board, Side};
use crate::l1::L1;

/// Pause between two questions to a side. With the longest that a node may take to answer, 15 seconds, this is well below the time after
/// which a side counts as silent.
const PAUSE: Duration = Duration::from_secs(5);

/// Whoever must answer, and where it is noted.
#[derive(Debug)]
pub struct Watch {
    /// The L1.
    pub l1: Arc<L1>,
    /// Its chain id by the chain specification.
    pub l1_chain_id: u64,
    /// The execution node.
    pub execution: Arc<Execution>,
    /// Its chain id by the chain specification.
    pub chain_id: u64,
    /// The network's nodes.
    pub nodes: Nodes,
    /// What the operator sees.
    pub board: Arc<Board>,
}

impl Watch {
    /// Watches until dropped. No side waits for another's answer.
    pub async fn run(self) {
        let l1 = async {
            loop {
                self.note(Side::L1, self.ask_l1().await).await;
            }
        };
        let execution = async {
            loop {
                self.note(Side::Execution, self.ask_execution().await).await;
            }
        };
        let nodes = async {
            loop {
                self.note(Side::Nodes, self.ask_nodes().await).await;
            }
        };
        tokio::join!(l1, execution, nodes);
    }

    /// Notes an answer, and rests until it is time for the next one.
    async fn note<E: fmt::Display>(&self, side: Side, answer: Result<(), E>) {
        match answer {
            Ok(()) => self.board.heard(side),
            Err(error) => self.board.silent(side, error.to_string()),
        }
        tokio::time::sleep(PAUSE).await;
    }

    async fn ask_l1(&self) -> Result<(), CarryError> {
        let head = self.l1.survey().await;
        self.board.endpoints(self.l1.good_endpoints());
        let head = head?;
        let (expected, got) = (self.l1_chain_id, self.l1.chain_id().await?);
        if got != expected {
            return Err(CarryError::WrongChain { expected, got });
        }
        self.board.money(self.l1.money(head).await?);
        Ok(())
    }

    async fn ask_execution(&self) -> Result<(), Trouble> {
        let (expected, got) = (self.chain_id, self.execution.chain_id().await?);
        if got != expected {
            return Err(Trouble::WrongChain { expected, got });
        }
        self.board.heads(self.execution.heads().await?);
        Ok(())
    }

    /// One node of this network is enough.
    async fn ask_nodes(&self) -> Result<(), FollowError> {
        let network = self.nodes.network().spec().hash();
        let mut why = FollowError::Silent;
        for answer in self.nodes.status().await {
            match answer {
                Ok(status) if status.chain_spec == network => return Ok(()),
                Ok(_) => why = FollowError::OtherNetwork,
                Err(error) => why = error.into(),
            }
        }
        Err(why)
    }
}
