//! How the network grows: n honest nodes over links like those of the internet, steady load, no faults, and what each costs.
//!
//! The question is whether latency stays at a few hops and a node's traffic a block at O(n) while n goes from 4 to 100. Everything runs in one
//! thread on a virtual clock: messages take as long as their link says, whatever their number and size, and the cores take no
//! time. So latency is the protocol's own; what limits real machines is the traffic and CPU time that are counted beside it.
//!
//! | module | holds |
//! |---|---|
//! | here | what is measured |
//! | [`net`] | the event loop |
//! | [`dealer`] | a finished group key, because the ceremony of 100 takes minutes |

mod dealer;
mod net;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// One-way delay of the fastest and the slowest link if nothing else is asked for: a continent, and the world.
pub const LINKS: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(150));
/// Bytes of a transaction.
const TX_BYTES: usize = 200;
/// The network gets going, its load steady.
const WARM_UP: Duration = Duration::from_secs(4);
/// By then everything submitted must be ordered.
const DRAIN: Duration = Duration::from_secs(20);
/// Node-seconds that are measured if nothing else is asked for, so that large networks do not take all the time.
const NODE_SECONDS: u64 = 500;
/// Fewest seconds measured.
const FEWEST_SECONDS: u64 = 8;

/// One network to measure.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Validators.
    pub nodes: usize,
    /// Transactions a second that each of them takes.
    pub rate: u32,
    /// Seconds measured.
    pub seconds: u64,
    /// One-way delay of the fastest and of the slowest link.
    pub links: (Duration, Duration),
    /// Picks the links' delays and the times of transactions.
    pub seed: u64,
}

impl Setup {
    /// The usual one of a size.
    pub const fn new(nodes: usize) -> Self {
        let usual = NODE_SECONDS / nodes as u64;
        let seconds = if usual < FEWEST_SECONDS { FEWEST_SECONDS } else { usual };
        Self { nodes, rate: 5, seconds, links: LINKS, seed: 1 }
    }
}

/// Traffic of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Traffic {
    /// Messages, each counted once for every receiver.
    pub messages: f64,
    /// Their bytes.
    pub bytes: f64,
}

/// What was measured of one network.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Validators.
    pub nodes: usize,
    /// Seconds measured, simulated.
    pub seconds: u64,
    /// Mean one-way delay of its links.
    pub mean_link_ms: f64,
    /// Transactions submitted while it was measured; all were ordered.
    pub transactions: u64,
    /// Blocks decided.
    pub blocks: u64,
    /// Blocks a second.
    pub blocks_per_second: f64,
    /// From a transaction's admission to its being decided at the node that took it: mean, in mean link delays.
    pub hops: f64,
    /// The same in milliseconds: half of them took at most this.
    pub p50_ms: f64,
    /// And 99 of 100 at most this.
    pub p99_ms: f64,
    /// Sent by a node a block, by kind.
    pub sent: BTreeMap<&'static str, Traffic>,
    /// Sent by a node a block, all kinds.
    pub total: Traffic,
    /// Milliseconds of CPU time of a node's core a block.
    pub cpu_ms: f64,
}

/// Measures one network; `progress` hears how much of it is done, of 1.
pub fn measure(setup: Setup, progress: impl FnMut(f64)) -> Figures {
    net::Net::new(setup).run(progress)
}
