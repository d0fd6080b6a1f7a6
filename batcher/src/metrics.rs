//! Gauges and counters of one program, and their text.

use prometheus::core::{Atomic, GenericCounter, GenericGauge};
use prometheus::{Error, Registry, TextEncoder};

/// A registry whose names begin with `prefix`.
pub(crate) fn registry(prefix: &str) -> Result<Registry, Error> {
    Registry::new_custom(Some(prefix.to_owned()), None)
}

/// What goes up and down.
pub(crate) fn gauge<P: Atomic + 'static>(
    registry: &Registry,
    name: &str,
    help: &str,
) -> Result<GenericGauge<P>, Error> {
    let gauge = GenericGauge::new(name, help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

/// What only goes up.
pub(crate) fn counter<P: Atomic + 'static>(
    registry: &Registry,
    name: &str,
    help: &str,
) -> Result<GenericCounter<P>, Error> {
    let counter = GenericCounter::new(name, help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

/// A number as a gauge takes it.
pub(crate) fn signed(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// Prometheus' text format.
pub(crate) fn text(registry: &Registry) -> String {
    TextEncoder::new().encode_to_string(&registry.gather()).unwrap_or_default()
}
