//! The standard `OTEL_*` variables that the libraries leave to the program.

use std::time::Duration;

/// The standard's default.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Whatever the variable says, a request ends.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);
/// The only protocol that the exporters are built with.
const PROTOCOL: &str = "http/protobuf";

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// Spans.
    Traces,
    /// Numbers.
    Metrics,
}

impl Signal {
    /// For log lines.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }
}

/// A variable asks for what this node does not do.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{variable} is {value:?}, and this node speaks {PROTOCOL} only: unset it, and name the collector's HTTP port (4318 by default)"
)]
pub(crate) struct VariableError {
    variable: String,
    value: String,
}

/// That one signal is exported, and how.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) signal: Signal,
    /// Of one request.
    pub(super) timeout: Duration,
}

impl Destination {
    /// `None` where the environment names no endpoint, or turns the signal off.
    pub(super) fn of(
        signal: Signal,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, VariableError> {
        let name = signal.name().to_ascii_uppercase();
        // The signal's own variable goes before the general one.
        let find = |what: &str| {
            [format!("OTEL_EXPORTER_OTLP_{name}_{what}"), format!("OTEL_EXPORTER_OTLP_{what}")]
                .into_iter()
                .find_map(|variable| environment(&variable).map(|value| (variable, value)))
        };
        let is = |variable: &str, wanted: &str| {
            environment(variable).is_some_and(|value| value.eq_ignore_ascii_case(wanted))
        };
        let off = is("OTEL_SDK_DISABLED", "true") || is(&format!("OTEL_{name}_EXPORTER"), "none");
        if off || find("ENDPOINT").is_none() {
            return Ok(None);
        }
        if let Some((variable, value)) = find("PROTOCOL").filter(|(_, value)| value != PROTOCOL) {
            return Err(VariableError { variable, value });
        }
        let timeout = find("TIMEOUT").and_then(|(_, millis)| millis.parse().ok());
        Ok(Some(Self { signal, timeout: timeout.map_or(TIMEOUT, Duration::from_millis).min(MAX_TIMEOUT) }))
    }
}

/// A variable of this process; by the standard, an empty one is as good as none.
pub(super) fn process(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of traces and of metrics.
    fn both(set: &[(&str, &str)]) -> [Result<Option<u64>, String>; 2] {
        let environment = |wanted: &str| {
            set.iter().find(|(variable, _)| *variable == wanted).map(|(_, value)| (*value).to_owned())
        };
        [Signal::Traces, Signal::Metrics].map(|signal| {
            Destination::of(signal, environment)
                .map(|found| found.map(|d| u64::try_from(d.timeout.as_millis()).unwrap_or(u64::MAX)))
                .map_err(|error| error.variable)
        })
    }

    #[test]
    fn the_standard_is_followed() {
        const ON: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
        assert_eq!(both(&[]), [Ok(None), Ok(None)]);
        assert_eq!(both(&[ON]), [Ok(Some(10_000)), Ok(Some(10_000))]);
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4318/v1/traces");
        assert_eq!(both(&[traces]), [Ok(Some(10_000)), Ok(None)]);
        assert_eq!(both(&[ON, ("OTEL_SDK_DISABLED", "TRUE")]), [Ok(None), Ok(None)]);
        assert_eq!(both(&[ON, ("OTEL_SDK_DISABLED", "0")]), both(&[ON]));
        assert_eq!(both(&[ON, ("OTEL_METRICS_EXPORTER", "none")]), [Ok(Some(10_000)), Ok(None)]);
        let (general, own) =
            (("OTEL_EXPORTER_OTLP_TIMEOUT", "500"), ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "700"));
        assert_eq!(both(&[ON, general, own]), [Ok(Some(500)), Ok(Some(700))]);
        let (forever, nonsense) =
            (("OTEL_EXPORTER_OTLP_TIMEOUT", "99999999999"), ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "soon"));
        assert_eq!(both(&[ON, forever, nonsense]), [Ok(Some(60_000)), Ok(Some(10_000))]);
        assert_eq!(both(&[ON, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")]), both(&[ON]));
        let grpc = "OTEL_EXPORTER_OTLP_PROTOCOL";
        assert_eq!(both(&[ON, (grpc, "grpc")]), [Err(grpc.to_owned()), Err(grpc.to_owned())]);
        assert_eq!(both(&[(grpc, "grpc")]), [Ok(None), Ok(None)], "nothing is exported");
    }
}
