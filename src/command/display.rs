//! `pelton display`

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{Method, Request, Response, StatusCode};
use pelton_env::{Clock as _, SystemClock};
use pelton_event::http::{DecodeOptions, Decoded, decode};
use pelton_event::limits::MAX_FRAME_BYTES;

use super::{print, print_line};
use crate::event_view;
use crate::exit::Failure;
use crate::http::{Limits, Server, bind, response};
use crate::terminal::{Paint, Tone};

const LIMITS: Limits = Limits { connections: 1024, body_bytes: MAX_FRAME_BYTES };

/// How long a stop waits for requests that were begun.
const GRACE: Duration = Duration::from_secs(2);

/// What is printed once it listens begins so.
pub const GREETING: &str = "Waiting for events";

/// Where to listen when nobody says.
const DEFAULT_PORT: u16 = 8090;

/// What `pelton display` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pelton display\n  pelton display --listen 127.0.0.1:9000 --fail-first 3\n  \
                        pelton display --status 503\n\nAs the program of a Service: command: [pelton, display]")]
pub struct DisplayArgs {
    /// Where to listen; port 0 takes a free one. By default on 127.0.0.1, at the port of the variable PORT, which a Service's
    /// program is given, or else at 8090
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// What to answer with
    #[arg(long, value_name = "CODE", default_value = "200", value_parser = status)]
    status: StatusCode,
    /// Answer the first so many events with 500
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    fail_first: u64,
}

fn status(text: &str) -> Result<StatusCode, String> {
    let code = text.parse::<u16>().ok().filter(|code| (200..600).contains(code));
    code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or_else(|| "expected a status from 200 to 599".into())
}

fn default_port(variable: Option<OsString>) -> Result<u16, Failure> {
    let Some(text) = variable.filter(|text| !text.is_empty()) else { return Ok(DEFAULT_PORT) };
    let port = text.to_str().and_then(|text| text.parse().ok());
    port.ok_or_else(|| Failure::Usage(format!("the variable PORT: {text:?} is no port; --listen counts before it")))
}

/// Prints events until it is stopped.
pub async fn run(args: DisplayArgs) -> Result<(), Failure> {
    let listen = match args.listen {
        Some(listen) => listen,
        None => SocketAddr::from(([127, 0, 0, 1], default_port(std::env::var_os("PORT"))?)),
    };
    let listener = bind(listen).map_err(|error| Failure::failed(&format!("cannot listen on {listen}"), &error))?;
    let sink = Arc::new(Sink { status: args.status, fail_first: args.fail_first, seen: AtomicU64::new(0) });
    let server = Server::start(listener, LIMITS, move |request| {
        let answer = sink.answer(&request);
        async move { answer }
    })
    .map_err(|error| Failure::failed("cannot listen", &error))?;
    print_line(&format!("{GREETING} at http://{}/", server.address()))?;
    crate::signals::Signals::new().map_err(|error| Failure::failed("cannot wait for signals", &error))?.next().await;
    server.shutdown(GRACE).await;
    Ok(())
}

struct Sink {
    status: StatusCode,
    fail_first: u64,
    seen: AtomicU64,
}

impl Sink {
    fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        const TEXT: &str = "text/plain; charset=utf-8";
        if request.method() == Method::GET && request.uri().path() == "/healthz" {
            return response(StatusCode::NO_CONTENT, TEXT, Bytes::new());
        }
        if request.method() != Method::POST {
            return response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "events come by POST\n");
        }
        let options = DecodeOptions {
            max_event_bytes: LIMITS.body_bytes,
            max_batch_bytes: LIMITS.body_bytes,
            ..DecodeOptions::default()
        };
        let events = match decode(request.headers(), request.body().clone(), &options) {
            Ok(Decoded::Single(event)) => vec![event],
            Ok(Decoded::Batch(events)) => events,
            Err(error) => {
                let paint = Paint::stdout();
                let _ = print_line(&format!("{} {error}", paint.tone(Tone::Bad, "not an event:")));
                return response(StatusCode::BAD_REQUEST, TEXT, format!("{error}\n"));
            }
        };
        let number = self.seen.fetch_add(1, Ordering::Relaxed);
        let status = if number < self.fail_first { StatusCode::INTERNAL_SERVER_ERROR } else { self.status };
        for event in &events {
            let _ = print(&shown(event, status));
        }
        response(status, TEXT, Bytes::new())
    }
}

fn shown(event: &pelton_event::Event, status: StatusCode) -> String {
    let paint = Paint::stdout();
    let millis = i64::try_from(SystemClock.now().0).unwrap_or(i64::MAX);
    let now = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let tone = if status.is_success() { Tone::Good } else { Tone::Bad };
    let time = paint.tone(Tone::Faint, format!("{now:.3}"));
    format!("{time} {} {}\n", paint.tone(tone, status.as_u16()), event_view::describe(event, paint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_a_service_is_taken() {
        for (variable, want) in [
            (None, Some(8090)),
            (Some(""), Some(8090)),
            (Some("0"), Some(0)),
            (Some("65535"), Some(65535)),
            (Some("65536"), None),
            (Some("http"), None),
        ] {
            assert_eq!(default_port(variable.map(OsString::from)).ok(), want, "{variable:?}");
        }
    }
}
