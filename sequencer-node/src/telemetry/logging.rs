//! Log lines on stderr, and OpenTelemetry where `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector.

use std::io::IsTerminal;
use std::sync::mpsc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::otlp::OnRuntime;
use super::variables::{self, Destination, Signal, VariableError};
use crate::config::{LogConfig, LogFormat};
use crate::setup::Setup;

/// The consensus library logs every vote at `info`, and that of OpenTelemetry every export that fails: [`OnRuntime`]
/// says so once.
const QUIET: &str =
    "arc_malachitebft_core_consensus=warn,arc_malachitebft_core_driver=warn,opentelemetry_sdk=off";
/// What the service is called unless `OTEL_SERVICE_NAME` says otherwise.
const SERVICE_NAME: &str = "sequencer-node";
/// Longest wait for a collector when the node stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Why telemetry does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TelemetryError {
    /// The filter is none.
    #[error("log.filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// A variable asks for what this node does not do.
    #[error(transparent)]
    Variable(#[from] VariableError),
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
    /// Sends what is left, for [`STOP_TIMEOUT`] at most. Blocks.
    pub(crate) fn stop(self) {
        let (running, ended) = mpsc::channel::<()>();
        let meters = self.meters;
        let traces = self.traces;
        // Each waits for a collector that may hang, and the reader of metrics for longer than it is told to.
        shut_down("metrics", running.clone(), move || meters.shutdown());
        if let Some(traces) = traces {
            shut_down("traces", running.clone(), move || traces.shutdown());
        }
        drop(running);
        // Nothing is ever sent: this ends when both have ended, or too late.
        let _ = ended.recv_timeout(STOP_TIMEOUT);
    }
}

/// Runs one shutdown beside the caller; `running` is dropped when it has ended.
fn shut_down(
    signal: &'static str,
    running: mpsc::Sender<()>,
    shutdown: impl FnOnce() -> OTelSdkResult + Send + 'static,
) {
    let ending = move || {
        if let Err(error) = shutdown() {
            tracing::debug!(signal, %error, "the last ones were not sent");
        }
        drop(running);
    };
    // Without a thread the last ones are lost, no more.
    let _ = std::thread::Builder::new().name(format!("stop {signal}")).spawn(ending);
}

/// Starts logging, and exporting on `runtime` where the environment asks for it.
pub(crate) fn start(setup: &Setup, runtime: &Handle) -> Result<Telemetry, TelemetryError> {
    let failed = |error: &dyn std::fmt::Display| TelemetryError::Exporter(error.to_string());
    let resource = resource(setup);
    let registry = prometheus::Registry::new();
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .build()
        .map_err(|e| failed(&e))?;
    let mut meters = SdkMeterProvider::builder().with_resource(resource.clone()).with_reader(exporter);
    if let Some(destination) = Destination::of(Signal::Metrics, variables::process)? {
        let client = OnRuntime::new(runtime.clone(), &destination).map_err(|e| failed(&e))?;
        let metrics =
            MetricExporter::builder().with_http().with_http_client(client).build().map_err(|e| failed(&e))?;
        meters = meters.with_reader(PeriodicReader::builder(metrics).build());
    }
    let mut traces = None;
    if let Some(destination) = Destination::of(Signal::Traces, variables::process)? {
        let client = OnRuntime::new(runtime.clone(), &destination).map_err(|e| failed(&e))?;
        let spans =
            SpanExporter::builder().with_http().with_http_client(client).build().map_err(|e| failed(&e))?;
        traces =
            Some(SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(spans).build());
    }
    log(&setup.config.log, traces.as_ref())?;
    Ok(Telemetry { registry, meters: meters.build(), traces })
}

/// Who speaks: what the standard variables say, else this validator of this network.
fn resource(setup: &Setup) -> Resource {
    let named = Resource::builder_empty()
        .with_service_name(SERVICE_NAME)
        .with_attributes([
            KeyValue::new("service.namespace", setup.spec.network.to_string()),
            KeyValue::new("service.instance.id", setup.me.to_string()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ])
        .with_detectors(&[Box::new(TelemetryResourceDetector), Box::new(EnvResourceDetector::new())]);
    match variables::process("OTEL_SERVICE_NAME") {
        Some(name) => named.with_service_name(name).build(),
        None => named.build(),
    }
}

fn log(config: &LogConfig, traces: Option<&SdkTracerProvider>) -> Result<(), TelemetryError> {
    // Later directives win: whoever names these modules gets their lines.
    let filter = EnvFilter::try_new(format!("{QUIET},{}", config.filter))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.format {
        LogFormat::Human => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let spans = traces.map(|traces| {
        tracing_opentelemetry::layer()
            .with_tracer(traces.tracer(SERVICE_NAME))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
    });
    // Fails only where a host has set logging up already; then its lines are as good.
    let _ = tracing_subscriber::registry().with(filter).with(lines).with(spans).try_init();
    Ok(())
}
