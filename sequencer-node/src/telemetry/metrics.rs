//! Numbers: read from the node when somebody asks.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Encoder, Registry, TextEncoder};

use crate::front::Front;
use crate::pressure::PressureStatus;

/// Makes all instruments.
pub(super) fn register(meters: &SdkMeterProvider, front: &Arc<Front>) {
    let meter = meters.meter("sequencer-node");
    for (place, (name, help, _)) in front.handle.counters().list().into_iter().enumerate() {
        let front = Arc::clone(front);
        meter
            .u64_observable_gauge(name)
            .with_description(help)
            .with_callback(move |observer| {
                if let Some((.., value)) = front.handle.counters().list().get(place) {
                    observer.observe(*value, &[]);
                }
            })
            .build();
    }
    let source = Arc::clone(front);
    meter
        .u64_observable_gauge("sequencer_heard_height")
        .with_description("Highest height that any peer has claimed")
        .with_callback(move |observer| observer.observe(source.status().heard_height.get(), &[]))
        .build();
    let source = Arc::clone(front);
    meter
        .u64_observable_gauge("sequencer_epoch")
        .with_description("Epoch of the next block: each has a key of its own")
        .with_callback(move |observer| observer.observe(source.status().epoch.get(), &[]))
        .build();
    let source = Arc::clone(front);
    meter
        .u64_observable_gauge("sequencer_key_share")
        .with_description("1 where the node holds its share of the committee's key; without, it orders and votes but signs nothing")
        .with_callback(move |observer| observer.observe(source.status().key_ready.into(), &[]))
        .build();
    register_peers(&meter, front);
    register_admission(&meter, front);
}

/// How fast transactions are admitted, and what presses.
fn register_admission(meter: &opentelemetry::metrics::Meter, front: &Arc<Front>) {
    let source = Arc::clone(front);
    meter
        .f64_observable_gauge("sequencer_admission_rate")
        .with_description("1: unlimited, 0: nothing; of rollups by where their data goes")
        .with_callback(move |observer| {
            let status = source.valve.status();
            observer.observe(status.rate, &[KeyValue::new("data", "l1")]);
            observer.observe(status.committee_rate, &[KeyValue::new("data", "committee")]);
        })
        .build();
    for (name, help, value) in ADMISSION {
        let source = Arc::clone(front);
        meter
            .u64_observable_gauge(name)
            .with_description(help)
            .with_callback(move |observer| {
                if let Some(value) = value(&source.valve.status()) {
                    observer.observe(value, &[]);
                }
            })
            .build();
    }
}

type OfStatus = fn(&PressureStatus) -> Option<u64>;

const ADMISSION: [(&str, &str, OfStatus); 7] = [
    (
        "sequencer_admission_refused",
        "Transactions refused because admission was slow, since the start",
        |s| Some(s.refused),
    ),
    ("sequencer_unposted_batches", "Sealed batches that L1 lacks; absent where this node cannot know", |s| {
        s.unposted_batches
    }),
    ("sequencer_unposted_bytes", "Bytes of sealed batches that L1 lacks", |s| s.unposted_bytes),
    ("sequencer_oldest_unposted_seconds", "Since the last block of the oldest batch that L1 lacks", |s| {
        s.oldest_unposted_s
    }),
    ("sequencer_free_disk_bytes", "Bytes that the disk has left for this node", |s| s.free_disk_bytes),
    ("sequencer_unsigned_batches", "Batches that wait for the committee's signature", |s| {
        Some(s.unsigned_batches)
    }),
    ("sequencer_unsigned_bytes", "Bytes of their transactions in memory", |s| Some(s.unsigned_bytes)),
];

fn register_peers(meter: &opentelemetry::metrics::Meter, front: &Arc<Front>) {
    let label = |id: ordering_types::ValidatorId| [KeyValue::new("validator", i64::from(id.get()))];
    let source = Arc::clone(front);
    meter
        .u64_observable_gauge("sequencer_peer_connected")
        .with_description("1 where votes can be sent to the validator")
        .with_callback(move |observer| {
            for peer in (source.peers)() {
                observer.observe(peer.connected.into(), &label(peer.validator));
            }
        })
        .build();
    let source = Arc::clone(front);
    meter
        .u64_observable_gauge("sequencer_peer_direct")
        .with_description("1 where chunks go to the validator on a connection of their own")
        .with_callback(move |observer| {
            for peer in (source.peers)() {
                observer.observe(peer.direct.into(), &label(peer.validator));
            }
        })
        .build();
    let source = Arc::clone(front);
    meter
        .u64_observable_gauge("sequencer_peer_dropped_messages")
        .with_description("Messages dropped because the queue towards the validator was full")
        .with_callback(move |observer| {
            for peer in (source.peers)() {
                observer.observe(peer.dropped, &label(peer.validator));
            }
        })
        .build();
    let source = Arc::clone(front);
    meter
        .f64_observable_gauge("sequencer_peer_round_trip_milliseconds")
        .with_description("Round trip through both processes")
        .with_callback(move |observer| {
            for peer in (source.peers)() {
                if let Some(rtt) = peer.rtt_ms {
                    observer.observe(rtt, &label(peer.validator));
                }
            }
        })
        .build();
}

/// The text that Prometheus reads.
pub(super) fn render(registry: &Registry) -> Result<String, prometheus::Error> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
