//! The runtimes that a gateway has.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use pelton_resource::serving::RuntimeKind;
use tokio::sync::mpsc;

use super::{InstanceEvent, Runtime, RuntimeError, Workload, WorkloadSpec};

/// The runtimes that a gateway has. A revision for one that it has not cannot be run, and its condition says so.
#[derive(Debug, Clone)]
pub struct Runtimes {
    process: Arc<dyn Runtime>,
    docker: Arc<dyn Runtime>,
    kubernetes: Arc<dyn Runtime>,
}

impl Runtimes {
    /// None at all.
    #[must_use]
    pub fn none() -> Self {
        let absent = |kind| Arc::new(Absent(kind));
        Self {
            process: absent(RuntimeKind::Process),
            docker: absent(RuntimeKind::Docker),
            kubernetes: absent(RuntimeKind::Kubernetes),
        }
    }

    /// The same, with this one.
    #[must_use]
    pub fn with(mut self, runtime: Arc<dyn Runtime>) -> Self {
        let place = match runtime.kind() {
            RuntimeKind::Process => &mut self.process,
            RuntimeKind::Docker => &mut self.docker,
            RuntimeKind::Kubernetes => &mut self.kubernetes,
        };
        *place = runtime;
        self
    }

    /// The one that a revision asks for.
    #[must_use]
    pub fn of(&self, kind: RuntimeKind) -> Arc<dyn Runtime> {
        Arc::clone(match kind {
            RuntimeKind::Process => &self.process,
            RuntimeKind::Docker => &self.docker,
            RuntimeKind::Kubernetes => &self.kubernetes,
        })
    }
}

/// In the place of a runtime that is not there.
#[derive(Debug)]
struct Absent(RuntimeKind);

impl Runtime for Absent {
    fn kind(&self) -> RuntimeKind {
        self.0
    }

    fn can_pause(&self) -> bool {
        false
    }

    fn deploy(
        &self,
        _: Arc<WorkloadSpec>,
        _: mpsc::UnboundedSender<InstanceEvent>,
    ) -> BoxFuture<'_, Result<Box<dyn Workload>, RuntimeError>> {
        let kind = self.0.as_str();
        let why = match self.0 {
            RuntimeKind::Kubernetes => {
                format!("this gateway has no runtime {kind}: it was built without the feature {kind}")
            }
            RuntimeKind::Process | RuntimeKind::Docker => format!("this gateway has no runtime {kind}"),
        };
        ready(Err(RuntimeError::Unsupported { field: "metadata.annotations[pelton.dev/runtime]", why })).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::conformance::plain_spec;

    #[tokio::test]
    async fn a_runtime_that_is_not_there_says_so_and_what_it_takes() {
        for (kind, want) in [
            (RuntimeKind::Process, "this gateway has no runtime process"),
            (RuntimeKind::Docker, "this gateway has no runtime docker"),
            (
                RuntimeKind::Kubernetes,
                "this gateway has no runtime kubernetes: it was built without the feature kubernetes",
            ),
        ] {
            let runtime = Runtimes::none().of(kind);
            let refused = runtime.deploy(Arc::new(plain_spec()), mpsc::unbounded_channel().0).await.unwrap_err();
            assert!(matches!(&refused, RuntimeError::Unsupported { why, .. } if why == want), "{refused}");
        }
    }
}
