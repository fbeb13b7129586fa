//! Subscribers: HTTP servers that note what they get, and misbehave when the nemesis says so.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pelton_env::{Chance, SeededChance};
use turmoil::net::TcpListener;

use super::clients::{data, number_in};
use super::triggers::is_poison;
use super::world::Whole;

/// How a subscriber answers. Good: at once, 200.
#[derive(Default)]
pub struct Mood {
    /// Of a hundred requests that many get an error.
    pub fails_percent: AtomicU64,
    /// An answer takes that long, at most.
    pub slow_millis: AtomicU64,
}

impl Mood {
    pub fn mend(&self) {
        self.fails_percent.store(0, Ordering::Relaxed);
        self.slow_millis.store(0, Ordering::Relaxed);
    }
}

/// Runs a subscriber for ever.
pub async fn run(place: u64, world: Arc<Whole>) -> turmoil::Result {
    let listener = TcpListener::bind(("0.0.0.0", 80)).await?;
    let chance = Arc::new(SeededChance::new(world.seed ^ place));
    loop {
        let (stream, _) = listener.accept().await?;
        let (world, chance) = (world.clone(), chance.clone());
        let service = service_fn(move |request| {
            let (world, chance) = (world.clone(), chance.clone());
            async move { Ok::<_, Infallible>(answer(place, &world, &chance, request).await) }
        });
        tokio::spawn(async move {
            // A connection that breaks is the dispatcher's to notice.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    place: u64,
    world: &Whole,
    chance: &SeededChance,
    request: Request<Incoming>,
) -> Response<Empty<Bytes>> {
    let path = request.uri().path().to_owned();
    let id = request.headers().get("ce-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    let Ok(body) = request.into_body().collect().await else { return status(400) };
    let mood = &world.moods[&place];
    let slow = mood.slow_millis.load(Ordering::Relaxed);
    if slow > 0 {
        tokio::time::sleep(Duration::from_millis(chance.below(slow))).await;
    }
    let asked = path.strip_prefix("/t/").map(|number| (number, false));
    let asked = asked.or_else(|| path.strip_prefix("/d/").map(|number| (number, true)));
    let named = asked.and_then(|(number, is_dead)| Some((number.parse().ok()?, is_dead))).zip(number_in(&id));
    let Some(((trigger, is_dead), event)) = named else {
        world.oracle.stranger(&path, &id);
        return status(400);
    };
    let fails = chance.below(100) < mood.fails_percent.load(Ordering::Relaxed);
    let code = match fails || (!is_dead && is_poison(trigger, event)) {
        true => [500, 503, 429][chance.below(3) as usize],
        false => 200,
    };
    world.oracle.asked(trigger, is_dead, event, code, body.to_bytes() == data(event));
    status(code)
}

fn status(code: u16) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = http::StatusCode::from_u16(code).expect("one of ours");
    response
}
