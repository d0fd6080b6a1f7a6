//! The L1s that a test runs on: the development L1 in this process, or anvil in another.

use std::time::Duration;

use dev_l1::{DEFAULT_CHAIN_ID, DevL1, Handle, Options};

use super::SLOT;
use super::anvil::Anvil;

pub(crate) enum Chain {
    Dev(Handle),
    Anvil(Anvil),
}

impl Chain {
    pub(crate) async fn dev() -> Self {
        Self::dev_every(SLOT).await
    }

    /// With a block each time: its clock goes a second with each.
    pub(crate) async fn dev_every(block_time: Duration) -> Self {
        let options = Options { listen: ([127, 0, 0, 1], 0).into(), block_time, ..Options::default() };
        Self::Dev(DevL1::spawn(options).await.unwrap())
    }

    /// The same chain at so many addresses.
    pub(crate) async fn dev_with_endpoints(count: usize) -> Self {
        let listen = ([127, 0, 0, 1], 0).into();
        let also_listen = vec![listen; count - 1];
        let options = Options { listen, also_listen, block_time: SLOT, ..Options::default() };
        Self::Dev(DevL1::spawn(options).await.unwrap())
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Dev(_) => "dev-l1",
            Self::Anvil(_) => "anvil",
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Dev(handle) => handle.url(),
            Self::Anvil(anvil) => anvil.url(),
        }
    }

    pub(crate) fn beacon_url(&self) -> String {
        match self {
            Self::Dev(handle) => handle.beacon_url(),
            Self::Anvil(anvil) => anvil.beacon_url(),
        }
    }

    /// Both have the same, so that both get the same transactions.
    pub(crate) const fn chain_id(&self) -> u64 {
        DEFAULT_CHAIN_ID
    }
}
