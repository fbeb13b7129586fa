//! What stands before the routes of the API: who calls, whether he may, and what is written down of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::ready;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use pelton_access::{Attributes, AuditLine, Caller, DryRun};
use pelton_client::Client;
use pelton_control_plane::ControlPlane;
use pelton_env::{Chance, Clock};
use pelton_resource::Time;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;

use super::audit::Audit;
use super::authenticator::{Authenticator, Trusted, Unknown};
use super::wanted;
use crate::api::{Problem, query_value};
use crate::http::{Admit, Body, Peer};

/// How often it is looked whether the caller of an answer that goes on may still have it.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What the answer names the line of the audit log by.
const AUDIT_ID: &str = "audit-id";

/// Why an answer is kept back.
const OVER: &str = "the cluster's authority is another one than when the request came";

/// What stands before the routes.
#[derive(Clone)]
pub struct Gate {
    authenticator: Option<Arc<Authenticator>>,
    audit: Option<Arc<Audit>>,
    clock: Arc<dyn Clock>,
    chance: Arc<dyn Chance>,
}

/// A request that was let in. When it is dropped without an answer, as by a client that hangs up, that is written down.
pub struct Entered {
    /// Who makes it.
    pub caller: Caller,
    record: Option<Record>,
    /// Where it can happen that he may no more.
    asked: Option<Asked>,
}

/// The head of a request that was let in, and by what it was.
struct Asked {
    authenticator: Arc<Authenticator>,
    parts: Parts,
    authority: Option<String>,
}

/// Who was let in by the head of his request, and the authority that there was then. An extension of the request.
#[derive(Clone)]
struct LetIn {
    caller: Caller,
    authority: Option<String>,
}

/// What is written down of a change.
struct Record {
    audit: Arc<Audit>,
    clock: Arc<dyn Clock>,
    id: String,
    caller: Caller,
    wanted: Vec<Attributes>,
    is_dry_run: bool,
    source: Option<SocketAddr>,
    is_written: bool,
}

impl Gate {
    /// One that asks nobody where there is no `authenticator`, and writes nothing down where there is no `audit`.
    pub fn new(
        authenticator: Option<Arc<Authenticator>>,
        audit: Option<Arc<Audit>>,
        clock: Arc<dyn Clock>,
        chance: Arc<dyn Chance>,
    ) -> Self {
        Self { authenticator, audit, clock, chance }
    }

    /// What looks at the heads of requests, where callers are asked who they are.
    pub fn admit<C: Client>(&self) -> Option<Admit> {
        let authenticator = self.authenticator.clone()?;
        let gate = self.clone();
        Some(Arc::new(move |parts| {
            let (authenticator, gate) = (Arc::clone(&authenticator), gate.clone());
            Box::pin(async move { gate.look::<C>(&authenticator, parts).await })
        }))
    }

    /// Lets a request in by its head, with its caller as an extension, or refuses it before its body is read.
    async fn look<C: Client>(&self, authenticator: &Authenticator, mut parts: Parts) -> Result<Parts, Response<Body>> {
        let authority = authenticator.authority();
        let caller = match authenticator.caller(&parts.headers, parts.extensions.get::<Peer>()).await {
            Ok(caller) => caller,
            Err(error) => {
                tracing::debug!(%error, "a request was refused");
                return Err(match error {
                    Unknown::Nobody(_) => refusal::<C>(&parts, StatusCode::UNAUTHORIZED, None),
                    // That it could not be asked is not that he is nobody.
                    Unknown::NotNow(_) => not_now::<C>(&parts, &error.to_string()),
                });
            }
        };
        let wanted = wanted::of_head::<C>(&parts);
        if caller.may(&wanted) {
            // What everybody may ask for needs none, and what is held of bodies is the room of those who are known.
            if !caller.identity().is_authenticated() && has_body(&parts.headers) {
                let why = "a body is only taken of who has shown who he is";
                return Err(plain(StatusCode::PAYLOAD_TOO_LARGE, why));
            }
            parts.extensions.insert(LetIn { caller, authority });
            return Ok(parts);
        }
        if !caller.identity().is_authenticated() {
            return Err(refusal::<C>(&parts, StatusCode::UNAUTHORIZED, None));
        }
        // Who is nobody is not written down: else anybody could fill the log.
        let record = self.record(&caller, vec![wanted.clone()], &parts);
        let mut response = refusal::<C>(&parts, StatusCode::FORBIDDEN, Some((&caller, &wanted)));
        Entered { caller, record, asked: None }.leave::<C>(&mut response);
        Err(response)
    }

    /// Looks at a request with its body.
    ///
    /// # Errors
    /// The answer, when the caller may not do all that is in it.
    pub async fn enter<C: Client>(&self, request: Request<Bytes>) -> Result<(Request<Bytes>, Entered), Response<Body>> {
        let LetIn { caller, authority } = match &self.authenticator {
            None => LetIn { caller: Caller::local(), authority: None },
            // What has passed the door has one. Without it nobody is let in.
            Some(_) => match request.extensions().get::<LetIn>() {
                Some(let_in) => let_in.clone(),
                None => return Err(plain(StatusCode::UNAUTHORIZED, "Unauthorized")),
            },
        };
        let (parts, body) = request.into_parts();
        let head = wanted::of_head::<C>(&parts);
        let request = Request::from_parts(parts.clone(), body);
        // Nobody has to look who neither refuses nor writes down.
        if self.authenticator.is_none() && self.audit.is_none() {
            return Ok((request, Entered { caller, record: None, asked: None }));
        }
        match wanted::of_body(&request, &caller) {
            Ok(all) => {
                let record = self.record(&caller, all.unwrap_or_else(|| vec![head]), &parts);
                let asked = self.authenticator.clone().map(|authenticator| Asked { authenticator, parts, authority });
                match asked.as_ref().filter(|asked| asked.is_over()).map(|asked| not_now::<C>(&asked.parts, OVER)) {
                    None => Ok((request, Entered { caller, record, asked })),
                    // The body took its time.
                    Some(mut response) => {
                        Entered { caller, record, asked: None }.leave::<C>(&mut response);
                        Err(response)
                    }
                }
            }
            Err(why) => {
                let wanted = Attributes::path(&parts.method.as_str().to_ascii_lowercase(), parts.uri.path());
                let record = self.record(&caller, vec![wanted], &parts);
                let mut response = plain(StatusCode::FORBIDDEN, &why);
                Entered { caller, record, asked: None }.leave::<C>(&mut response);
                Err(response)
            }
        }
    }

    fn record(&self, caller: &Caller, wanted: Vec<Attributes>, parts: &Parts) -> Option<Record> {
        let audit = self.audit.clone().filter(|_| wanted.iter().any(Attributes::is_change))?;
        let query = parts.uri.query().unwrap_or_default();
        Some(Record {
            audit,
            clock: Arc::clone(&self.clock),
            id: format!("{:016x}{:016x}", self.chance.bits(), self.chance.bits()),
            caller: caller.clone(),
            wanted,
            is_dry_run: query_value(query, "dryRun").is_some_and(|value| !value.is_empty()),
            source: parts.extensions.get::<Peer>().map(|peer| peer.address),
            is_written: false,
        })
    }
}

impl Entered {
    /// Writes down how a request was answered. An answer that goes on ends soon after its caller may no more.
    pub fn leave<C: Client>(self, response: &mut Response<Body>) {
        if let Some(mut record) = self.record {
            if let Ok(id) = HeaderValue::try_from(&record.id) {
                response.headers_mut().insert(AUDIT_ID, id);
            }
            if let Some(DryRun(is_dry_run)) = response.extensions().get() {
                record.is_dry_run = *is_dry_run;
            }
            record.write(response.status().as_u16(), named(response).as_deref());
        }
        if let Some(asked) = self.asked {
            asked.keep::<C>(response);
        }
    }
}

impl Asked {
    /// Whether the authority is another one than when he was let in, or there is none.
    fn is_over(&self) -> bool {
        self.authenticator.authority() != self.authority
    }

    /// Lets an answer go on only as long as it is his. To delete the authority is to shut everybody out, so nothing that may
    /// have the keys of the next one in it is given to who was let in before.
    fn keep<C: Client>(self, response: &mut Response<Body>) {
        // What is made is the caller's own, and of one that is deleted only the name is told: by whoever deletes it as well.
        let shows_objects = self.parts.method != Method::POST && wanted::of_head::<C>(&self.parts).verb != "delete";
        if self.is_over() && shows_objects {
            *response = not_now::<C>(&self.parts, OVER);
            return;
        }
        let body = std::mem::replace(response.body_mut(), Body::from(Bytes::new()));
        *response.body_mut() = match body {
            Body::Whole(_) => body,
            Body::Pieces(pieces) => {
                let (authenticator, authority) = (Arc::clone(&self.authenticator), self.authority);
                let changes = authenticator.changes();
                // After a piece was made of what there is, so that it cannot be of something newer.
                let still = Arc::clone(&authenticator);
                let his = pieces.take_while(move |_| ready(still.authority() == authority));
                Body::pieces(his).until(until_refused::<C>(authenticator, self.parts, changes))
            }
        };
    }
}

impl Record {
    /// `code` is 0 when nobody waited for the answer.
    fn write(&mut self, code: u16, name: Option<&str>) {
        self.is_written = true;
        let time = Time::from_unix_millis(self.clock.now().0).to_string();
        for wanted in &self.wanted {
            let line = AuditLine {
                time: time.clone(),
                request_id: &self.id,
                dry_run: self.is_dry_run,
                code,
                source: self.source.map_or_else(String::new, |source| source.to_string()),
                ..AuditLine::new(self.caller.identity(), wanted, name)
            };
            match serde_json::to_string(&line) {
                // Whoever may nothing can have as much refused as he likes: that is not to push out what was done.
                Ok(line) if code == StatusCode::FORBIDDEN.as_u16() => self.audit.write_refused(line),
                Ok(line) => self.audit.write(line),
                Err(error) => tracing::error!(%error, "a line of the audit log could not be made"),
            }
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.is_written {
            self.write(0, None);
        }
    }
}

/// Done once the caller of a request is refused. It is looked at when it may have changed who counts, and now and then.
async fn until_refused<C: Client>(
    authenticator: Arc<Authenticator>,
    parts: Parts,
    mut changes: watch::Receiver<Option<Arc<Trusted>>>,
) {
    let wanted = wanted::of_head::<C>(&parts);
    loop {
        tokio::select! {
            () = sleep(LOOK_AGAIN) => {}
            Ok(()) = changes.changed() => {}
        }
        let caller = authenticator.caller(&parts.headers, parts.extensions.get::<Peer>()).await;
        match caller {
            Ok(caller) if caller.may(&wanted) => {}
            // Nobody has to tell that a token is over.
            Err(Unknown::NotNow(_)) if !authenticator.is_over(&parts.headers) => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// Whether a body follows the head.
fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH);
    headers.contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|length| length.as_bytes() != b"0")
}

/// What an answer names: the object that was made, or that was not.
fn named(response: &Response<Body>) -> Option<String> {
    let body: Value = serde_json::from_slice(&response.body().as_whole()?).ok()?;
    let of_object = body.pointer("/metadata/name").and_then(Value::as_str);
    of_object.or_else(|| body.pointer("/details/name").and_then(Value::as_str)).map(str::to_owned)
}

/// A refusal in the words of the routes that it is for.
fn refusal<C: Client>(parts: &Parts, code: StatusCode, why: Option<(&Caller, &Attributes)>) -> Response<Body> {
    if !ControlPlane::<C>::has(parts.uri.path()) {
        let why = why.map(|(caller, wanted)| wanted.refusal(&caller.identity().user));
        return plain(code, why.as_deref().unwrap_or("Unauthorized"));
    }
    of_plane(pelton_control_plane::refused(why.map(|(caller, wanted)| (caller.identity(), wanted))))
}

/// 503, which clients try again by themselves.
fn not_now<C: Client>(parts: &Parts, why: &str) -> Response<Body> {
    if ControlPlane::<C>::has(parts.uri.path()) {
        return of_plane(pelton_control_plane::unavailable(why));
    }
    let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, why);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn of_plane(answer: pelton_control_plane::Answer) -> Response<Body> {
    answer.map(|body| match body {
        pelton_control_plane::Body::Whole(bytes) => Body::from(bytes),
        pelton_control_plane::Body::Stream(pieces) => Body::pieces(pieces.map(Ok)),
    })
}

fn plain(code: StatusCode, why: &str) -> Response<Body> {
    let mut response = Problem::new(code, why).into_response().map(Body::from);
    if code == StatusCode::UNAUTHORIZED {
        let realm = HeaderValue::from_static("Bearer realm=\"pelton\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
    }
    response
}
