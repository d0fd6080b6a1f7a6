//! Numbers: read from the node when somebody asks.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Encoder, Registry, TextEncoder};

use crate::front::Front;

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
}

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
