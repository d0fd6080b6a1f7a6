//! OpenTelemetry: what a collector gets, and that none, a broken or a stuck one costs the node nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use bytes::Bytes;
use jsonrpsee::http_client::{HttpClient, HttpClientBuilder};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point::Value as Number};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use serde_json::json;
use tokio::sync::watch;

use crate::network::{load, until, within};
use crate::node::{Folders, Running, node};

/// A token that only the collector may see.
const TOKEN: &str = "open-sesame";
/// Spans that may wait in the node, and those of one request.
const QUEUE: usize = 16;
const BATCH: usize = 8;
/// Blocks that may wait for one signature.
const UNSIGNED: usize = 8;
/// A stop that waits for no collector takes far less, one that waits for this one takes a minute.
const PROMPT: Duration = Duration::from_secs(10);
/// What a node says once when its collector takes nothing, and once when it does again.
const FAILS: &str = "does not take them";
const AGAIN: &str = "takes them again";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Takes,
    Refuses,
    Hangs,
}

/// What came, by path.
#[derive(Debug, Default)]
struct Received {
    requests: BTreeMap<String, Vec<(HeaderMap, Bytes)>>,
    refused: BTreeMap<String, usize>,
    hanging: BTreeMap<String, usize>,
}

/// A collector on loopback that does as it is told.
#[derive(Clone)]
struct Collector {
    mode: watch::Sender<Mode>,
    received: Arc<Mutex<Received>>,
}

impl Collector {
    async fn start() -> (Self, String) {
        let collector = Self { mode: watch::Sender::new(Mode::Takes), received: Arc::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(take).with_state(collector.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (collector, url)
    }

    fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    async fn until(&self, what: &str, good: impl Fn(&Received) -> bool) {
        within(what, async {
            while !good(&self.received.lock().unwrap()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }
}

async fn take(State(collector): State<Collector>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let path = uri.path().to_owned();
    let mut mode = collector.mode.subscribe();
    let now = *mode.borrow_and_update();
    let count = |all: fn(&mut Received) -> &mut BTreeMap<String, usize>| {
        *all(&mut collector.received.lock().unwrap()).entry(path.clone()).or_default() += 1;
    };
    if now == Mode::Refuses {
        count(|received| &mut received.refused);
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    if now == Mode::Hangs {
        count(|received| &mut received.hanging);
        mode.wait_for(|mode| *mode != Mode::Hangs).await.unwrap();
    }
    collector.received.lock().unwrap().requests.entry(path).or_default().push((headers, body));
    StatusCode::OK
}

impl Received {
    fn bodies(&self, path: &str) -> impl Iterator<Item = Bytes> {
        self.requests.get(path).into_iter().flatten().map(|(_, body)| body.clone())
    }

    /// Heights of the blocks whose spans came.
    fn blocks(&self) -> BTreeSet<i64> {
        let requests = self.bodies("/v1/traces").map(|body| ExportTraceServiceRequest::decode(body).unwrap());
        let spans = requests
            .flat_map(|request| request.resource_spans)
            .inspect(|spans| resource(spans.resource.as_ref().unwrap()))
            .flat_map(|spans| spans.scope_spans)
            .flat_map(|scope| scope.spans)
            .filter(|span| span.name == "block");
        spans
            .map(|span| {
                assert!(span.end_time_unix_nano > span.start_time_unix_nano, "{span:?}");
                assert!(attribute(&span.attributes, "transactions").is_some(), "{span:?}");
                match attribute(&span.attributes, "height") {
                    Some(Any::IntValue(height)) => height,
                    other => panic!("{other:?}"),
                }
            })
            .collect()
    }

    /// The highest value of a metric that came.
    fn metric(&self, name: &str) -> Option<i64> {
        let requests =
            self.bodies("/v1/metrics").map(|body| ExportMetricsServiceRequest::decode(body).unwrap());
        let points = requests
            .flat_map(|request| request.resource_metrics)
            .inspect(|metrics| resource(metrics.resource.as_ref().unwrap()))
            .flat_map(|metrics| metrics.scope_metrics)
            .flat_map(|scope| scope.metrics)
            .filter(|metric| metric.name == name)
            .flat_map(|metric| match metric.data {
                Some(Data::Gauge(gauge)) => gauge.data_points,
                other => panic!("{other:?}"),
            });
        points
            .map(|point| match point.value {
                Some(Number::AsInt(value)) => value,
                other => panic!("{other:?}"),
            })
            .max()
    }
}

fn attribute(all: &[KeyValue], key: &str) -> Option<Any> {
    all.iter().find(|pair| pair.key == key)?.value.clone()?.value
}

/// Names the service as the variables do, and the validator.
fn resource(resource: &Resource) {
    for (key, value) in [
        ("service.name", "orderer"),
        ("service.namespace", "test"),
        ("service.instance.id", "1"),
        ("deployment.environment.name", "whole"),
    ] {
        assert_eq!(
            attribute(&resource.attributes, key),
            Some(Any::StringValue(value.to_owned())),
            "{key} of {resource:?}"
        );
    }
}

fn start(folders: &Folders, id: u16, environment: &[(&str, &str)]) -> Running {
    let log = Stdio::from(File::create(folders.path(&format!("log{id}"))).unwrap());
    Running::start_with(&folders.config(id), environment, log)
}

fn said(log: &Path, words: &str) -> usize {
    fs::read_to_string(log).unwrap().matches(words).count()
}

/// The first node has the collector, the second is told of one that is not there.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_what_matters_and_can_do_no_harm() {
    let (collector, url) = Collector::start().await;
    let folders = Folders::new();
    let token = format!("authorization=Bearer%20{TOKEN}");
    let exporting = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", &token),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "60000"),
        ("OTEL_SERVICE_NAME", "orderer"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=whole"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "200"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", &QUEUE.to_string()),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", &BATCH.to_string()),
    ];
    let nobody = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "200"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
    ];
    let mut nodes = [&exporting[..], &nobody[..], &[], &[]]
        .into_iter()
        .zip(1..)
        .map(|(environment, id)| start(&folders, id, environment))
        .collect::<Vec<_>>();
    let client = HttpClientBuilder::default().build(format!("http://{}", nodes[0].address("rpc"))).unwrap();
    let load = load(&nodes[2]);
    gets_what_matters(&collector).await;
    refuses(&collector, &folders.path("log1")).await;
    hangs(&collector, &client).await;
    // And again while the node stops.
    collector.set(Mode::Hangs);
    let before = collector.received.lock().unwrap().hanging.clone();
    collector.until("both hang", |r| r.hanging.iter().all(|(path, count)| *count > before[path])).await;
    drop(load);
    for (node, id) in nodes.iter_mut().take(2).zip(1..) {
        let (code, took) = node.terminate();
        assert_eq!(code, Some(0), "node {id}");
        assert!(took < PROMPT, "node {id} took {took:?} to stop");
        let log = folders.path(&format!("log{id}"));
        assert_eq!(said(&log, FAILS), 2, "node {id}: once for traces, once for metrics");
        assert_eq!(said(&log, TOKEN), 0, "node {id}");
    }
}

async fn gets_what_matters(collector: &Collector) {
    collector
        .until("spans of blocks, and metrics", |received| {
            received.blocks().len() >= 5
                && received.metric("sequencer_certified_height") >= Some(5)
                && received.metric("sequencer_peer_connected") == Some(1)
        })
        .await;
    let received = collector.received.lock().unwrap();
    assert!(received.requests.keys().eq(["/v1/metrics", "/v1/traces"]), "{:?}", received.requests.keys());
    for (headers, body) in received.requests.values().flatten() {
        assert_eq!(headers["content-type"], "application/x-protobuf");
        assert_eq!(headers["authorization"], format!("Bearer {TOKEN}"));
        assert!(!body.windows(TOKEN.len()).any(|bytes| bytes == TOKEN.as_bytes()), "{body:?}");
    }
}

/// Answers of 500: the node says so once, and once more when they end.
async fn refuses(collector: &Collector, log: &Path) {
    collector.set(Mode::Refuses);
    collector
        .until("refusals", |r| {
            r.refused.get("/v1/traces") >= Some(&5) && r.refused.get("/v1/metrics") >= Some(&5)
        })
        .await;
    collector.set(Mode::Takes);
    within("the node says so", async {
        while said(log, AGAIN) < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(said(log, FAILS), 2, "once for traces, once for metrics");
}

/// No answer: the node orders on, and keeps no more spans than it may.
async fn hangs(collector: &Collector, client: &HttpClient) {
    const BLOCKS: i64 = 60;
    let height = async |at_least: i64| {
        let good = |s: &serde_json::Value| s["durable_height"].as_i64() >= Some(at_least);
        until(client, "seq_status", json!([]), good).await["durable_height"].as_i64().unwrap()
    };
    collector.set(Mode::Hangs);
    collector.until("a request hangs", |received| received.hanging.contains_key("/v1/traces")).await;
    let from = height(0).await;
    let to = height(from + BLOCKS).await;
    collector.set(Mode::Takes);
    collector.until("newer spans", |r| r.blocks().last() > Some(&to)).await;
    let blocks = collector.received.lock().unwrap().blocks();
    let kept = blocks.range(from + 1..=to).count();
    // One batch may have been taken from the queue just before, and one is filled just after; and a signature ends the spans of all blocks
    // before it, of which the first may come after the last that counts here.
    assert!(kept <= QUEUE + 2 * BATCH + UNSIGNED, "{kept} spans kept");
}

#[test]
fn a_protocol_that_the_node_does_not_speak_is_named() {
    let folders = Folders::new();
    let refused = node()
        .arg("run")
        .arg("--config")
        .arg(folders.config(1))
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains("OTEL_EXPORTER_OTLP_PROTOCOL") && said.contains("http/protobuf"), "{said}");
}
