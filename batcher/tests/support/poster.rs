//! A batcher in this process.

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::B256;
use batcher::l1::{L1, Simulation, Task};
use batcher::poster::Poster;
use batcher::status::Board;
use batcher::turn::Rotation;
use batcher::txm::{Account, Call, Limits, Send, Snapshot};
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
    start_on(network, network.as_seen_by(payer), nodes, rotation)
}

/// With this view of L1.
pub(crate) fn start_on(network: &Network, l1: L1, nodes: &[String], rotation: Rotation) -> Running {
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

/// What a test does by hand, as the batcher would.
impl Network {
    pub(crate) async fn snapshot(&self, l1: &L1, hashes: &[B256]) -> Snapshot {
        l1.read(l1.survey().await.unwrap(), hashes).await.unwrap().1
    }

    pub(crate) async fn simulate(&self, l1: &L1, task: &Task) -> Simulation {
        let seen = self.snapshot(l1, &[]).await;
        let balance = seen.accounts[&Account::Blobs].balance;
        l1.simulate(task, Account::Blobs, seen.market.generous(task.kind()), balance).await.unwrap()
    }

    /// The task at its account's next nonce, whether or not it would succeed.
    pub(crate) async fn signed(&self, l1: &L1, task: &Task, gas: u64, alone: bool) -> Send {
        let seen = self.snapshot(l1, &[]).await;
        let (account, kind) = (Account::Blobs, task.kind());
        let call = Call { id: 0, goal: task.goal(), account, kind, gas, blob_gas: task.blob_gas() };
        Send {
            call,
            nonce: seen.accounts[&account].nonce,
            fees: seen.market.generous(kind),
            again: false,
            alone,
        }
    }

    /// Waits until it is mined: whether it succeeded.
    pub(crate) async fn mined(&self, l1: &L1, hash: B256) -> bool {
        super::until("a mined transaction", async || {
            self.snapshot(l1, &[hash]).await.receipts.get(&hash).map(|receipt| receipt.success)
        })
        .await
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
