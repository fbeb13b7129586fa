//! Which service a request is for.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;

use http::{Request, Response};
use tonic::body::Body;
use tonic::server::NamedService;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt as _};

type Grpc = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// gRPC services by their name. A request for any other is answered with `UNIMPLEMENTED`.
#[derive(Clone, Default)]
pub struct Routes {
    services: HashMap<&'static str, Grpc>,
}

impl Routes {
    /// Adds a service: the server that tonic generates for it.
    ///
    /// # Panics
    /// If there is one of its name.
    #[must_use]
    pub fn with<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + NamedService,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        let before = self.services.insert(S::NAME, BoxCloneSyncService::new(service));
        assert!(before.is_none(), "two services are named {}", S::NAME);
        self
    }

    /// Answers a request.
    pub(crate) async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, Infallible> {
        // A path is `/package.Service/Method`.
        let name = request.uri().path().split('/').nth(1).unwrap_or_default();
        match self.services.get(name) {
            Some(service) => service.clone().oneshot(request).await,
            None => Ok(tonic::Status::unimplemented("there is no such service here").into_http()),
        }
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.services.keys()).finish()
    }
}
