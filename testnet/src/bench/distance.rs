//! The relay in the bench's JSON: what it was asked to be and what it did, from the network's beginning to its end.

use std::time::Duration;

use serde::Serialize;

use crate::control::{self, Request};
use crate::relay::{Conditions, LinkCounts, RelayStats};
use crate::session::Session;

/// The relay.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Distance {
    delay_ms: f64,
    jitter_ms: f64,
    loss: f64,
    reorder: f64,
    mtu: Option<u16>,
    #[serde(skip)]
    conditions: Conditions,
    seed: u64,
    #[serde(flatten)]
    total: LinkCounts,
    strangers: u64,
    kernel_dropped: u64,
    unsent: u64,
}

impl Distance {
    /// Asks it, if there is one.
    pub(super) async fn of(session: &Session) -> Option<Self> {
        let settings = session.relay?;
        let reply = control::ask(&session.folder.relay_socket(), &Request::Links).await;
        let stats: RelayStats = *reply.ok()?.relay?;
        let Conditions { delay, jitter, loss, reorder, mtu } = settings.conditions;
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        Some(Self {
            delay_ms: ms(delay),
            jitter_ms: ms(jitter),
            loss,
            reorder,
            mtu,
            conditions: settings.conditions,
            seed: settings.seed,
            total: stats.total(),
            strangers: stats.strangers,
            kernel_dropped: stats.kernel_dropped,
            unsent: stats.unsent,
        })
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let Self { conditions, seed, total, kernel_dropped, .. } = self;
        let share = total.lost as f64 / (total.datagrams.max(1)) as f64;
        format!(
            "{conditions}, seed {seed}: {} datagrams, {:.1} MB, {:.2} % lost, {} too long, {} too many, {kernel_dropped} dropped by the kernel",
            total.datagrams,
            total.bytes as f64 / 1e6,
            share * 100.0,
            total.too_long,
            total.full,
        )
    }
}
