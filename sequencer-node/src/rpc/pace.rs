//! Calls of one connection, no more at once than [`Calls`] allows.

use std::sync::Arc;

use jsonrpsee::core::middleware::{Batch, Notification, Request, RpcServiceT};
use tower::Layer;

use crate::connections::Calls;

/// Makes [`Paced`] services of one connection.
#[derive(Clone, Debug)]
pub(super) struct PaceLayer(pub(super) Arc<Calls>);

impl<S> Layer<S> for PaceLayer {
    type Service = Paced<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Paced { inner, calls: Arc::clone(&self.0) }
    }
}

/// A service whose calls take turns; a batch takes one.
#[derive(Clone, Debug)]
pub(super) struct Paced<S> {
    inner: S,
    calls: Arc<Calls>,
}

impl<S: RpcServiceT + Clone + Send + Sync + 'static> RpcServiceT for Paced<S> {
    type MethodResponse = S::MethodResponse;
    type NotificationResponse = S::NotificationResponse;
    type BatchResponse = S::BatchResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = Self::MethodResponse> + Send + 'a {
        let (inner, calls) = (self.inner.clone(), Arc::clone(&self.calls));
        async move {
            let _turn = calls.begin().await;
            inner.call(request).await
        }
    }

    fn batch<'a>(&self, requests: Batch<'a>) -> impl Future<Output = Self::BatchResponse> + Send + 'a {
        let (inner, calls) = (self.inner.clone(), Arc::clone(&self.calls));
        async move {
            let _turn = calls.begin().await;
            inner.batch(requests).await
        }
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = Self::NotificationResponse> + Send + 'a {
        self.inner.notification(notification)
    }
}
