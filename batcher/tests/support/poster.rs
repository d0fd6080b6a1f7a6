//! A batcher in this process.

use std::sync::Arc;
use std::time::Duration;

use batcher::l1::L1;
use batcher::poster::Poster;
use batcher::status::Board;
use batcher::turn::Rotation;
use batcher::txm::Limits;
use batcher_format::kzg::Kzg;
use rollup::client::Nodes;
use tokio::task::JoinHandle;

use super::{Network, SLOT, account};

/// Aborting its task is as sudden as a kill.
pub(crate) struct Running {
    pub(crate) board: Arc<Board>,
    pub(crate) task: JoinHandle<()>,
}

pub(crate) fn start(network: &Network, index: u64, count: u64, payer: u32) -> Running {
    start_patient(network, index, count, payer, SLOT * 3 / 4)
}

pub(crate) fn start_patient(
    network: &Network,
    index: u64,
    count: u64,
    payer: u32,
    takeover: Duration,
) -> Running {
    start_with(
        network,
        std::slice::from_ref(&network.node),
        Rotation::new(index, count, takeover).unwrap(),
        payer,
    )
}

/// With these nodes.
pub(crate) fn start_with(network: &Network, nodes: &[String], rotation: Rotation, payer: u32) -> Running {
    let l1 = network.as_seen_by(payer);
    let board = Arc::new(Board::new(l1.account()).unwrap());
    let verifier = rollup::verify::Network::new(Arc::clone(&network.spec));
    let nodes = Nodes::new(verifier, nodes).unwrap();
    let gwei = 1_000_000_000;
    let limits = Limits {
        max_cap: 500 * gwei,
        max_blob: 500 * gwei,
        resubmit_after: SLOT * 3,
        check_every: SLOT / 8,
        pause: SLOT / 8,
    };
    let poster = Poster::new(l1, nodes, rotation, limits, SLOT, Arc::clone(&board), Kzg::shared());
    Running { board, task: tokio::spawn(poster.run()) }
}

impl Network {
    /// The inbox through the eyes of the batcher that this account pays for.
    pub(crate) fn as_seen_by(&self, payer: u32) -> L1 {
        let spec = &self.spec;
        L1::new(&[self.l1.url()], spec.l1_chain_id, *spec.inbox.as_bytes(), account(payer)).unwrap()
    }
}

/// Waits until everything up to this batch comes back out of L1.
pub(crate) async fn derived(network: &Network, number: u64) {
    let mut deriver = network.deriver();
    super::until(&format!("batch {number} on L1"), async || {
        while deriver.next().await.unwrap().is_some() {}
        (deriver.derived() >= number).then_some(())
    })
    .await;
}
