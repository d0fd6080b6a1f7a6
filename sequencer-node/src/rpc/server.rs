//! The HTTP and WebSocket server, and which path means what.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use jsonrpsee::Methods;
use jsonrpsee::core::middleware::RpcServiceBuilder;
use jsonrpsee::server::{
    BatchRequestConfig, HttpBody, HttpRequest, HttpResponse, PingConfig, Server, ServerConfig, ServerHandle,
    stop_channel,
};
use tokio::net::TcpListener;
use tower::{Layer, Service};
use tower_http::cors::{Any, CorsLayer};

use super::pace::PaceLayer;
use super::{eth, seq};
use crate::connections::{self, Calls, Crowded, Limits};
use crate::front::Front;

/// Longest request: a transaction of 128 KiB in hexadecimal, a few times over in a batch.
const MAX_REQUEST_BYTES: u32 = 2 << 20;
/// Longest answer: a full block in hexadecimal.
const MAX_RESPONSE_BYTES: u32 = 48 << 20;
/// Calls in one batch.
const MAX_BATCH: u32 = 100;
/// Subscriptions of one connection.
const MAX_SUBSCRIPTIONS: u32 = 16;
/// Messages that wait for a WebSocket client, each as long as an answer may be. One is written while the next is made; more only fills
/// memory for those who do not read.
const MAX_UNREAD: u32 = 4;
/// A connection without a request for so long is closed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// A client that neither sends nor takes a byte for so long is gone; longer than a WebSocket's pings allow.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RpcError {
    /// The port cannot be bound.
    #[error("cannot listen on TCP {address}: {source}")]
    Listen {
        /// Address and port.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// The running server; it stops when dropped.
pub(crate) struct Rpc {
    handle: ServerHandle,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Rpc {
    /// Listens and serves.
    pub(crate) async fn start(
        listen: SocketAddr,
        max_connections: u32,
        execution: BTreeMap<u64, String>,
        front: Arc<Front>,
    ) -> Result<Self, RpcError> {
        let failed = |source| RpcError::Listen { address: listen, source };
        let ping = PingConfig::new().ping_interval(PING_INTERVAL).inactive_limit(2 * PING_INTERVAL);
        let config = ServerConfig::builder()
            .max_request_body_size(MAX_REQUEST_BYTES)
            .max_response_body_size(MAX_RESPONSE_BYTES)
            // Requests cannot outnumber the connections that bring them, and those are counted.
            .max_connections(u32::MAX)
            .max_subscriptions_per_connection(MAX_SUBSCRIPTIONS)
            .set_message_buffer_capacity(MAX_UNREAD)
            .set_batch_request_config(BatchRequestConfig::Limit(MAX_BATCH))
            .enable_ws_ping(ping)
            .build();
        let cors = CorsLayer::new().allow_methods(Any).allow_origin(Any).allow_headers(Any);
        let builder = Server::builder()
            .set_config(config)
            .set_http_middleware(tower::ServiceBuilder::new().layer(cors).layer(PathLayer))
            .to_service_builder();
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let mut module =
            seq::module(Arc::clone(&front)).expect("names of methods are unique").remove_context();
        let eth = eth::module(eth::Eth { front, execution }).expect("names of methods are unique");
        module.merge(eth).expect("names of methods are unique");
        let methods = Methods::from(module);
        let (stop, handle) = stop_channel();
        let stopped = stop.clone().shutdown().boxed().shared();
        let service = move |calls: &Arc<Calls>| {
            let paced = RpcServiceBuilder::new().layer(PaceLayer(Arc::clone(calls)));
            builder.clone().set_rpc_middleware(paced).build(methods.clone(), stop.clone())
        };
        tokio::spawn(connections::serve(listener, limits(max_connections), service, stopped));
        Ok(Self { handle, address })
    }

    /// Stops it.
    pub(crate) async fn stop(self) {
        // An error means that it had stopped already.
        let _ = self.handle.stop();
        let _ = tokio::time::timeout(Duration::from_millis(500), self.handle.stopped()).await;
    }
}

/// Strangers come here.
const fn limits(connections: u32) -> Limits {
    Limits {
        connections: connections as usize,
        crowded: Crowded::Close,
        request: REQUEST_TIMEOUT,
        stall: STALL_TIMEOUT,
        lifetime: None,
    }
}

/// What a request's path names; methods find it beside their parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `/`
    Root,
    /// `/rollup/<chain id>`
    Rollup(u64),
}

impl Target {
    fn of(path: &str) -> Option<Self> {
        match path.trim_end_matches('/') {
            "" => Some(Self::Root),
            other => other.strip_prefix("/rollup/")?.parse().ok().map(Self::Rollup),
        }
    }
}

#[derive(Clone, Copy)]
struct PathLayer;

impl<S> Layer<S> for PathLayer {
    type Service = PathService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        PathService { inner }
    }
}

#[derive(Clone)]
struct PathService<S> {
    inner: S,
}

type Answer<E> = BoxFuture<'static, Result<HttpResponse, E>>;

impl<S, B> Service<HttpRequest<B>> for PathService<S>
where
    S: Service<HttpRequest<B>, Response = HttpResponse>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = HttpResponse;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: HttpRequest<B>) -> Answer<Self::Error> {
        let Some(target) = Target::of(request.uri().path()) else {
            let body = "no such path: JSON-RPC is served at / and at /rollup/<chain id>\n";
            let mut response = HttpResponse::new(HttpBody::from(body));
            *response.status_mut() = axum::http::StatusCode::NOT_FOUND;
            return futures::future::ready(Ok(response)).boxed();
        };
        request.extensions_mut().insert(target);
        self.inner.call(request).boxed()
    }
}
