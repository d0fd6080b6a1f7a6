//! Log lines on stderr, and OpenTelemetry where `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector.

use std::io::IsTerminal;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::otlp::OnRuntime;
use crate::config::{LogConfig, LogFormat};

/// The consensus library logs every vote at `info`.
const QUIET: &str = "arc_malachitebft_core_consensus=warn,arc_malachitebft_core_driver=warn";
const SERVICE_NAME: &str = "sequencer-node";
/// The standard variable that turns OTLP on; the libraries read the other `OTEL_*` ones.
const ENDPOINT_VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Why telemetry does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TelemetryError {
    /// The filter is none.
    #[error("log.filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// An exporter cannot be made.
    #[error("OpenTelemetry: {0}; check the OTEL_* variables")]
    Exporter(String),
}

/// Keeps exporters alive.
#[derive(Debug)]
pub(crate) struct Telemetry {
    /// What `/metrics` serves.
    pub(super) registry: prometheus::Registry,
    /// Where instruments are made.
    pub(super) meters: SdkMeterProvider,
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Sends what is left. Blocks.
    pub(crate) fn stop(self) {
        // A collector that is gone must not keep the node from ending cleanly.
        let _ = self.meters.shutdown();
        if let Some(traces) = self.traces {
            let _ = traces.shutdown();
        }
    }
}

/// Starts logging, and exporting on `runtime` where the environment asks for it.
pub(crate) fn start(config: &LogConfig, runtime: &Handle) -> Result<Telemetry, TelemetryError> {
    let failed = |error: &dyn std::fmt::Display| TelemetryError::Exporter(error.to_string());
    let otlp = std::env::var_os(ENDPOINT_VARIABLE).is_some_and(|value| !value.is_empty());
    let resource = Resource::builder().with_service_name(SERVICE_NAME).build();
    let registry = prometheus::Registry::new();
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .build()
        .map_err(|e| failed(&e))?;
    let mut meters = SdkMeterProvider::builder().with_resource(resource.clone()).with_reader(exporter);
    let mut traces = None;
    if otlp {
        let client = || OnRuntime::new(runtime.clone()).map_err(|e| failed(&e));
        let metrics = MetricExporter::builder()
            .with_http()
            .with_http_client(client()?)
            .build()
            .map_err(|e| failed(&e))?;
        meters = meters.with_reader(PeriodicReader::builder(metrics).build());
        let spans = SpanExporter::builder()
            .with_http()
            .with_http_client(client()?)
            .build()
            .map_err(|e| failed(&e))?;
        traces =
            Some(SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(spans).build());
    }
    // Later directives win: whoever names these modules gets their lines.
    let filter = EnvFilter::try_new(format!("{QUIET},{}", config.filter))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.format {
        LogFormat::Human => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let spans = traces.as_ref().map(|t| tracing_opentelemetry::layer().with_tracer(t.tracer(SERVICE_NAME)));
    // Fails only where a host has set logging up already; then its lines are as good.
    let _ = tracing_subscriber::registry().with(filter).with(lines).with(spans).try_init();
    Ok(Telemetry { registry, meters: meters.build(), traces })
}
