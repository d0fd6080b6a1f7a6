//! A campaign against L1 and those who post to it: every so often one fault, and how long it takes until batches go out again.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy::primitives::{Address, U256};
use serde_json::json;
use tokio::sync::Mutex;

use super::outcome::Outcome;
use crate::contract::{L1, L1Error};
use crate::layout::BATCHERS;
use crate::network::Network;
use crate::observe::Observer;
use crate::role::Role;

/// After a fault is over, a batch is on L1 within this time.
const MAX_RECOVERY: Duration = Duration::from_secs(40);
/// Faults are no closer together: most of them last for a while.
const LEAST_APART: Duration = Duration::from_secs(10);
/// How often L1 is asked whether one is.
const POLL: Duration = Duration::from_millis(250);
/// A killed batcher is away for so long; so is the money of an emptied wallet.
const AWAY: Duration = Duration::from_secs(15);
/// L1's endpoints answer nobody for so long.
const OUTAGE: Duration = Duration::from_secs(20);
/// One endpoint lies for so long.
const LIE: Duration = Duration::from_secs(20);
/// Blob gas is so many times dearer, for so many blocks.
const SPIKE: (u32, u64) = (50, 15);
/// What a batcher's account has again.
const FUNDED_WEI: u128 = 10_000_000_000_000_000_000_000;
/// Depths of reorganisations: the development L1 finalizes what is four blocks old.
const DEPTHS: [u64; 3] = [1, 2, 3];
/// How an endpoint lies.
const LIES: [&str; 8] =
    ["staleHead", "stuckHead", "futureHead", "forkedHead", "rateLimit", "hang", "garbage", "error"];

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    KilledBatcher,
    Reorg { depth: u64, forgets: bool },
    Outage,
    BlobSpike,
    Lie(&'static str),
    EmptyWallets,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KilledBatcher => f.write_str("the batcher that posted last is killed"),
            Self::Reorg { depth, forgets: false } => write!(f, "L1 replaces {depth} blocks"),
            Self::Reorg { depth, forgets: true } => {
                write!(f, "L1 replaces {depth} blocks and forgets their transactions")
            }
            Self::Outage => write!(f, "L1 answers nobody for {} s", OUTAGE.as_secs()),
            Self::BlobSpike => write!(f, "blobs are {} times dearer for {} blocks", SPIKE.0, SPIKE.1),
            Self::Lie(kind) => write!(f, "an endpoint lies for {} s ({kind})", LIE.as_secs()),
            Self::EmptyWallets => write!(f, "the batchers have no money for {} s", AWAY.as_secs()),
        }
    }
}

impl Fault {
    /// The n-th of a campaign: each kind in its turn, in another manner each time.
    fn nth(n: usize) -> Self {
        let round = n / 6;
        match n % 6 {
            0 => Self::KilledBatcher,
            1 => {
                let depth = DEPTHS.get(round % DEPTHS.len()).copied().unwrap_or(1);
                Self::Reorg { depth, forgets: round % 2 == 1 }
            }
            2 => Self::Outage,
            3 => Self::BlobSpike,
            4 => Self::Lie(LIES.get(round % LIES.len()).copied().unwrap_or("hang")),
            _ => Self::EmptyWallets,
        }
    }
}

/// What a campaign is made against.
pub(crate) struct Campaign {
    /// From one fault to the next.
    pub(crate) every: Duration,
    /// The processes.
    pub(crate) network: Arc<Mutex<Network>>,
    /// The batchers' accounts.
    pub(crate) batchers: Vec<Address>,
    /// The endpoint that the batchers prefer, which may lie.
    pub(crate) lying: L1,
}

impl Campaign {
    /// Does one fault after the other, and no more when less than half of what lies between two is left.
    pub(crate) async fn run(self, began: Instant, lasts: Duration, observer: Observer) -> Vec<Outcome> {
        let every = self.every.max(LEAST_APART);
        let mut outcomes = Vec::new();
        let mut at = every / 2;
        for n in 0.. {
            if at + every / 2 > lasts {
                return outcomes;
            }
            tokio::time::sleep_until((began + at).into()).await;
            outcomes.push(self.break_and_watch(n, Fault::nth(n), &observer).await);
            at += every;
        }
        outcomes
    }

    async fn break_and_watch(&self, n: usize, fault: Fault, observer: &Observer) -> Outcome {
        let step = format!("{}. {fault}", n + 1);
        if let Err(error) = self.commit(fault, observer).await {
            return Outcome::happened(&step, &error.to_string(), None);
        }
        Outcome::within(&step, "a batch on L1 again after", posted_again(observer).await, MAX_RECOVERY)
    }

    /// Returns when the fault is over.
    async fn commit(&self, fault: Fault, observer: &Observer) -> Result<(), L1Error> {
        let (l1, _) = observer.l1();
        match fault {
            Fault::KilledBatcher => {
                self.kill_active(observer).await;
                return Ok(());
            }
            Fault::Reorg { depth, forgets } => {
                let keep = !forgets;
                l1.dev("dev_reorg", json!([{ "depth": depth, "keepTransactions": keep }])).await?;
            }
            Fault::Outage => {
                let outage = json!([{ "seconds": OUTAGE.as_secs(), "all": true }]);
                l1.dev("dev_outage", outage).await?;
                tokio::time::sleep(OUTAGE).await;
            }
            Fault::BlobSpike => {
                let (factor, blocks) = SPIKE;
                let spike = json!([{ "factor": factor, "blocks": blocks, "gas": false }]);
                l1.dev("dev_feeSpike", spike).await?;
            }
            Fault::Lie(kind) => {
                let lie = json!([{ "seconds": LIE.as_secs(), "kind": kind }]);
                self.lying.dev("dev_lie", lie).await?;
            }
            Fault::EmptyWallets => {
                self.fund(l1, 0).await?;
                tokio::time::sleep(AWAY).await;
                self.fund(l1, FUNDED_WEI).await?;
            }
        }
        Ok(())
    }

    /// Kills it, and starts it again later.
    async fn kill_active(&self, observer: &Observer) {
        let last = observer.last();
        let active = last.batchers.iter().find(|batcher| batcher.active);
        let role = active.map_or(Role::Batcher(BATCHERS), |batcher| batcher.role);
        // It may have ended by itself: the judge says so.
        let _ = self.network.lock().await.kill(role).await;
        let network = Arc::clone(&self.network);
        tokio::spawn(async move {
            tokio::time::sleep(AWAY).await;
            if let Err(error) = network.lock().await.restart(role).await {
                tracing::warn!(%error, "{role} cannot be started again");
            }
        });
    }

    async fn fund(&self, l1: &L1, wei: u128) -> Result<(), L1Error> {
        for account in &self.batchers {
            l1.dev("dev_setBalance", json!([account, U256::from(wei)])).await?;
        }
        Ok(())
    }
}

/// How long it takes from now until L1 has a batch that it does not have yet.
async fn posted_again(observer: &Observer) -> Option<Duration> {
    let since = Instant::now();
    let (l1, inbox) = observer.l1();
    let mut before = None;
    while since.elapsed() < 2 * MAX_RECOVERY {
        let next = l1.next_batch(inbox).await.ok();
        if next.is_some_and(|next| *before.get_or_insert(next) < next) {
            return Some(since.elapsed());
        }
        tokio::time::sleep(POLL).await;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_kind_of_fault_has_its_turn_and_each_lie_is_told() {
        let names: Vec<String> = (0..6).map(|n| Fault::nth(n).to_string()).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 6);
        let lies: BTreeSet<&str> = (0..48)
            .filter_map(|n| match Fault::nth(n) {
                Fault::Lie(kind) => Some(kind),
                _ => None,
            })
            .collect();
        assert_eq!(lies, LIES.into_iter().collect());
        assert_eq!(Fault::nth(7), Fault::Reorg { depth: 2, forgets: true });
    }
}
