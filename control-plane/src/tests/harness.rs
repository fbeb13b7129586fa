//! Requests, as values.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http::{HeaderMap, Method, Request, header};
use pelton_access::Caller;
use pelton_client::memory::MemoryClient;
use pelton_env::SeededChance;
use serde_json::{Value, json};

use crate::{Body, ControlPlane};

pub const BROKERS: &str = "/apis/eventing.knative.dev/v1/namespaces/default/brokers";
pub const TRIGGERS: &str = "/apis/eventing.knative.dev/v1/namespaces/default/triggers";
pub const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

pub struct Api {
    pub client: MemoryClient,
    plane: ControlPlane<MemoryClient>,
}

/// What came back.
#[derive(Debug)]
pub struct Got {
    pub code: u16,
    pub value: Value,
    pub headers: HeaderMap,
}

impl Got {
    /// A value of the answer, by its pointer.
    pub fn at(&self, pointer: &str) -> &Value {
        self.value.pointer(pointer).unwrap_or(&Value::Null)
    }

    pub fn text(&self, pointer: &str) -> &str {
        self.at(pointer).as_str().unwrap_or_default()
    }

    /// The code, the reason and the message.
    pub fn refusal(&self) -> (u16, &str, &str) {
        (self.code, self.text("/reason"), self.text("/message"))
    }

    pub fn expect(self, code: u16) -> Self {
        assert_eq!(self.code, code, "{}", self.value);
        self
    }
}

impl Api {
    /// With the Namespace `default`.
    pub async fn new() -> Self {
        let client = MemoryClient::new();
        let (clock, chance) = (Arc::new(client.clock().clone()), Arc::new(SeededChance::new(7)));
        let api = Self { plane: ControlPlane::new(client.clone(), clock, chance), client };
        assert_eq!(api.get("/api/v1/namespaces").await.refusal().1, "ServiceUnavailable", "nothing is known yet");
        api.plane.open().store(true, Ordering::Release);
        api.post("/api/v1/namespaces", json!({"metadata": {"name": "default"}})).await.expect(201);
        api
    }

    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Got {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, body) = self.plane.answer(request.body(body.into()).unwrap(), &Caller::local()).await.into_parts();
        let Body::Whole(bytes) = body else { panic!("{path} does not end") };
        let value = serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
        Got { code: parts.status.as_u16(), value, headers: parts.headers }
    }

    pub async fn get(&self, path: &str) -> Got {
        self.send(Method::GET, path, &[], "").await
    }

    pub async fn post(&self, path: &str, body: Value) -> Got {
        self.send(Method::POST, path, &[], body.to_string()).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Got {
        self.send(Method::PUT, path, &[], body.to_string()).await
    }

    pub async fn patch(&self, path: &str, how: &str, body: Value) -> Got {
        let content_type = format!("application/{how}");
        self.send(Method::PATCH, path, &[(header::CONTENT_TYPE.as_str(), &content_type)], body.to_string()).await
    }

    pub async fn delete(&self, path: &str, body: Value) -> Got {
        self.send(Method::DELETE, path, &[], body.to_string()).await
    }

    /// A table, as `kubectl get` asks for it.
    pub async fn table(&self, path: &str) -> Got {
        let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        self.send(Method::GET, path, &[(header::ACCEPT.as_str(), accept)], "").await
    }

    pub async fn watch(&self, path: &str) -> Watch {
        self.watch_as(path, "application/json").await
    }

    pub async fn watch_as(&self, path: &str, accept: &str) -> Watch {
        let request = Request::get(path).header(header::ACCEPT, accept).body(Bytes::new()).unwrap();
        let answer = self.plane.answer(request, &Caller::local()).await;
        assert_eq!(answer.status().as_u16(), 200, "{answer:?}");
        let Body::Stream(stream) = answer.into_body() else { panic!("{path} is no watch") };
        Watch { stream, read: Vec::new() }
    }
}

pub struct Watch {
    stream: BoxStream<'static, Bytes>,
    read: Vec<u8>,
}

impl Watch {
    /// The next line, when it does not end.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            self.read.extend_from_slice(&self.stream.next().await?);
        }
    }

    /// The next line as `ADDED name`.
    pub async fn brief(&mut self) -> String {
        let line = self.next().await.unwrap();
        let name = line.pointer("/object/metadata/name").and_then(Value::as_str).unwrap_or("-");
        format!("{} {name}", line["type"].as_str().unwrap())
    }

    /// The next lines.
    pub async fn briefs(&mut self, count: usize) -> Vec<String> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(self.brief().await);
        }
        all
    }
}

pub fn broker(name: &str) -> Value {
    json!({"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": {"name": name}})
}

pub fn trigger(name: &str) -> Value {
    json!({
        "apiVersion": "eventing.knative.dev/v1", "kind": "Trigger", "metadata": {"name": name},
        "spec": {"broker": "b", "subscriber": {"uri": "http://s.example/"}},
    })
}
