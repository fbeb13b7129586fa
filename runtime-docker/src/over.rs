//! Waiting for the end of a container.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use pelton_http_front::text_of;
use pelton_serving_gateway::runtime::InstanceId;
use tokio::time::sleep;

use crate::Parts;

/// Before the engine is asked again that did not wait to the end.
const ASKS_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// The end of a container that was started, which may be to come. It is looked for only while somebody waits.
pub struct Over {
    waiting: BoxFuture<'static, Option<i64>>,
    known: Option<Option<i64>>,
}

impl fmt::Debug for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Over").field("known", &self.known).finish_non_exhaustive()
    }
}

impl Over {
    /// That of this container.
    pub fn of(parts: Arc<Parts>, id: InstanceId) -> Self {
        Self { waiting: until_over(parts, id).boxed(), known: None }
    }

    /// Waits for it. It may be dropped and waited for again.
    pub async fn ended(&mut self) {
        if self.known.is_none() {
            self.known = Some(self.waiting.as_mut().await);
        }
    }

    /// Whether it is known to be over.
    pub fn is_known(&self) -> bool {
        self.known.is_some()
    }

    /// The code of its end, if that is known.
    pub fn code(&self) -> Option<i64> {
        self.known.flatten()
    }
}

/// Waits until a container does not run any more, or is not there. Gives the code of its end, if there is one.
async fn until_over(parts: Arc<Parts>, id: InstanceId) -> Option<i64> {
    loop {
        let why = match parts.engine.wait(&id.0).await {
            Ok(code) => return Some(code),
            Err(why) => why,
        };
        match parts.engine.inspect(&id.0).await {
            Err(gone) if gone.is_not_found() => return None,
            Ok(container) if !container.state.lives() => return Some(container.state.exit_code),
            // The engine is on its way down, or up.
            Ok(_) | Err(_) => tracing::debug!(%id, error = %text_of(&why), "the end of a container is asked for again"),
        }
        sleep(ASKS_AGAIN_AFTER).await;
    }
}
