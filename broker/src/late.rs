//! A service that is there before what answers for it.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;

/// Refuses requests as "unavailable" until it is given the service. The listener for other nodes answers who this node
/// is from the first moment on, long before the rest is there.
pub(crate) struct Late<S>(Arc<OnceLock<S>>);

impl<S> Late<S> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// Requests are answered from now on. The first one stays.
    pub(crate) fn open(&self, service: S) {
        // A node is opened once.
        let _ = self.0.set(service);
    }
}

impl<S> Clone for Late<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: NamedService> NamedService for Late<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Late<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible> + Clone,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        match self.0.get() {
            // A service that tonic generates is always ready.
            Some(service) => Box::pin(service.clone().call(request)),
            None => Box::pin(async { Ok(tonic::Status::unavailable("this node is only starting").into_http()) }),
        }
    }
}
