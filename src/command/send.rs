//! `pelton send`

use std::path::PathBuf;
use std::time::Instant;

use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use indicatif::{ProgressBar, ProgressStyle};
use pelton_env::{Chance as _, Clock as _, OsChance, SystemClock};
use pelton_event::http::{HeaderEncoding, STRUCTURED_JSON, binary_cost, encode_binary, encode_structured};
use pelton_event::limits::{MAX_HEADER_BYTES, MAX_HEADER_COUNT};
use pelton_event::{AttributeValue, DataKind, Event, InvalidEvent};
use pelton_resource::Kind;

use super::print_line;
use super::target::{ApiArgs, Name};
use crate::exit::Failure;
use crate::http::{Answer, Connection, Url};
use crate::kube::kinds;
use crate::terminal::escape;

/// How much of a refusal is shown.
const MAX_SHOWN_BYTES: usize = 2000;

/// What `pelton send` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pelton send --type com.example.order.placed --data '{\"total\": 12}'\n  \
                        pelton send --broker shop/default --type t --subject s -x partitionkey=7 --count 1000\n  \
                        pelton send http://127.0.0.1:8080/default/default --type t --structured --data-file body.json")]
pub struct SendArgs {
    /// Where to send to; when missing, the Broker is asked for its address
    #[arg(value_name = "URL", conflicts_with = "broker")]
    url: Option<String>,
    /// The Broker: NAME or NAMESPACE/NAME
    #[arg(long, default_value = "default")]
    broker: Name,
    /// The attribute type
    #[arg(long = "type", value_name = "TYPE")]
    ty: String,
    /// The attribute source
    #[arg(long, default_value = "/pelton/send")]
    source: String,
    /// The attribute id; a random one when missing, and a number is added when several are sent
    #[arg(long)]
    id: Option<String>,
    /// The attribute subject
    #[arg(long)]
    subject: Option<String>,
    /// The attribute time; now when missing
    #[arg(long, value_name = "RFC3339")]
    time: Option<String>,
    /// The data as text
    #[arg(long, conflicts_with = "data_file")]
    data: Option<String>,
    /// A file with the data
    #[arg(long, value_name = "FILE")]
    data_file: Option<PathBuf>,
    /// The attribute datacontenttype; when missing, JSON or plain text by what the data is
    #[arg(long, value_name = "MEDIA_TYPE")]
    content_type: Option<String>,
    /// An extension attribute, as NAME=VALUE; may be repeated
    #[arg(short = 'x', long = "extension", value_name = "NAME=VALUE", value_parser = extension)]
    extensions: Vec<(String, String)>,
    /// Send the whole event as one JSON object instead of attributes in headers
    #[arg(long)]
    structured: bool,
    /// How many to send, one after the other on one connection
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    #[command(flatten)]
    api: ApiArgs,
}

fn extension(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Sends one event, or several.
pub async fn run(args: SendArgs) -> Result<(), Failure> {
    let url = match &args.url {
        Some(url) => Url::parse(url)?,
        None => broker_url(&args).await?,
    };
    let draft = Draft::new(&args)?;
    let mut connection = Connection::new(url.clone());
    if args.count == 1 {
        return send_one(&mut connection, &url, &draft.event(None)?, args.structured).await;
    }
    send_many(&mut connection, &url, &draft, &args).await
}

async fn broker_url(args: &SendArgs) -> Result<Url, Failure> {
    let (mut api, namespace) = args.api.kube(None)?;
    let (namespace, name) = args.broker.within(&namespace);
    let broker = api.get(kinds::row(Kind::Broker), namespace, name).await?;
    match broker.pointer("/status/address/url").and_then(serde_json::Value::as_str) {
        Some(url) => Ok(Url::parse(url)?),
        None => Err(Failure::Failed(format!("Broker {namespace}/{name} has no address yet"))),
    }
}

async fn send_one(connection: &mut Connection, url: &Url, event: &Event, structured: bool) -> Result<(), Failure> {
    let answer = post(connection, url, event, structured).await?;
    if !answer.status.is_success() {
        return Err(refusal(&answer));
    }
    print_line(&format!("{} {}", answer.status, escape(event.id())))
}

async fn send_many(connection: &mut Connection, url: &Url, draft: &Draft, args: &SendArgs) -> Result<(), Failure> {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} events, {per_sec}, {eta} left");
    let progress = ProgressBar::new(args.count);
    if let Ok(style) = style {
        progress.set_style(style);
    }
    let started = Instant::now();
    let mut sent = 0_u64;
    let mut outcome = Ok(());
    for number in 1..=args.count {
        let event = draft.event(Some(number))?;
        match post(connection, url, &event, args.structured).await {
            Ok(answer) if answer.status.is_success() => sent += 1,
            Ok(answer) => outcome = Err(refusal(&answer)),
            Err(failure) => outcome = Err(failure),
        }
        // The first refusal ends it: the same event under another id would be refused too.
        if outcome.is_err() {
            break;
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    let rate = if seconds > 0.0 { sent as f64 / seconds } else { 0.0 };
    print_line(&format!("{sent} of {} accepted in {seconds:.2} s ({rate:.0} a second)", args.count))?;
    outcome
}

/// Sends an event in the mode asked for; in structured mode also when its attributes would not fit into headers.
pub async fn post(connection: &mut Connection, url: &Url, event: &Event, structured: bool) -> Result<Answer, Failure> {
    let encoding = HeaderEncoding::Percent;
    let mut headers = HeaderMap::new();
    // Two headers are ours: Host and Content-Length.
    let body = if structured || !binary_cost(event, encoding).fits(MAX_HEADER_COUNT - 2, MAX_HEADER_BYTES) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(STRUCTURED_JSON));
        encode_structured(event)
    } else {
        encode_binary(event, encoding, &mut headers)
    };
    Ok(connection.call(Method::POST, &url.path, headers, body).await?)
}

fn refusal(answer: &Answer) -> Failure {
    let shown = &answer.body[..answer.body.len().min(MAX_SHOWN_BYTES)];
    let text = String::from_utf8_lossy(shown);
    let hint = match answer.status {
        StatusCode::NOT_FOUND => "\nis the Broker there? `pelton get brokers` lists them",
        _ => "",
    };
    Failure::Failed(format!("refused with {}: {}{hint}", answer.status, text.trim()))
}

/// Everything of the event but its id.
struct Draft {
    id: String,
    ty: String,
    source: String,
    subject: Option<String>,
    time: String,
    content_type: Option<String>,
    extensions: Vec<(String, String)>,
    data: Bytes,
}

impl Draft {
    fn new(args: &SendArgs) -> Result<Self, Failure> {
        let data = match (&args.data, &args.data_file) {
            (Some(text), _) => Bytes::from(text.clone()),
            (None, Some(path)) => std::fs::read(path)
                .map(Bytes::from)
                .map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?,
            (None, None) => Bytes::new(),
        };
        let guessed = || match (data.is_empty(), std::str::from_utf8(&data)) {
            (true, _) => None,
            (false, Ok(_)) if serde_json::from_slice::<&serde_json::value::RawValue>(&data).is_ok() => {
                Some("application/json".to_owned())
            }
            (false, Ok(_)) => Some("text/plain; charset=utf-8".to_owned()),
            (false, Err(_)) => Some("application/octet-stream".to_owned()),
        };
        Ok(Self {
            id: args.id.clone().unwrap_or_else(random_id),
            ty: args.ty.clone(),
            source: args.source.clone(),
            subject: args.subject.clone(),
            time: args.time.clone().unwrap_or_else(now),
            content_type: args.content_type.clone().or_else(guessed),
            extensions: args.extensions.clone(),
            data,
        })
    }

    fn event(&self, number: Option<u64>) -> Result<Event, Failure> {
        let id = number.map_or_else(|| self.id.clone(), |number| format!("{}-{number}", self.id));
        let mut builder = Event::builder().id(&id).source(&self.source).ty(&self.ty).time(&self.time);
        if let Some(subject) = &self.subject {
            builder = builder.subject(subject);
        }
        if let Some(content_type) = &self.content_type {
            builder = builder.datacontenttype(content_type);
        }
        for (name, value) in &self.extensions {
            builder = builder.extension(name, AttributeValue::String(value));
        }
        if !self.data.is_empty() {
            builder = builder.data(DataKind::Bytes, &self.data);
        }
        builder.build().map_err(|error: InvalidEvent| Failure::Usage(format!("this is no event: {error}")))
    }
}

fn random_id() -> String {
    pelton_client::admission::uid_from_bits(OsChance.bits(), OsChance.bits())
}

fn now() -> String {
    let millis = i64::try_from(SystemClock.now().0).unwrap_or(i64::MAX);
    let now = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{now:.3}")
}
