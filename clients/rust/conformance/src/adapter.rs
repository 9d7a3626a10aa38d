//! Runs commands on clients of their names.
use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use dibs::{Client, Error, Event};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{
    bench::{client_us, session_us, unary_us},
    command::{Bench, Call, GetOrRebuild, Open, What, ms},
    output::Output,
    raw, rebuild,
};

#[derive(Clone)]
pub struct Adapter {
    output: Output,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// With whether it has a session.
    clients: HashMap<String, (Client, bool)>,
    /// Cancelled when its caller leaves.
    calls: HashMap<String, CancellationToken>,
    /// Cancelled when it opens.
    gates: HashMap<String, CancellationToken>,
}

impl Adapter {
    pub fn new(output: Output) -> Self {
        Self { output, state: Arc::default() }
    }

    pub async fn run(&self, what: What) -> Result<Value, Value> {
        match what {
            What::Open(open) => return self.open(open),
            What::Close { client } => drop(self.state().clients.remove(&client)),
            What::Cancel { call } => self.left(&call).cancel(),
            What::Let { gate } => self.gate(&gate).cancel(),
            What::GetOrRebuild(command) => return self.get_or_rebuild(*command).await,
            What::Call(command) => return self.call(command).await,
            What::Bench(command) => return self.bench(command).await,
        }
        Ok(json!({}))
    }

    fn open(&self, open: Open) -> Result<Value, Value> {
        let output = self.output.clone();
        let session = open.session.unwrap_or(true);
        let mut builder = Client::builder()
            .target(open.target)
            .session(session)
            .namespace(open.namespace.unwrap_or_default())
            .hook(move |event| output.line(&hook(event)));
        if let Some(holder) = open.holder {
            builder = builder.holder(holder);
        }
        if let Some(token) = open.token {
            builder = builder.token(token);
        }
        if let Some(on_unavailable) = open.on_unavailable {
            builder = builder.on_unavailable(on_unavailable.into());
        }
        if let Some(connect_ms) = open.connect_ms {
            builder = builder.connect_timeout(ms(connect_ms));
        }
        let client = builder.build().map_err(failed)?;
        self.state().clients.insert(open.client, (client, session));
        Ok(json!({}))
    }

    async fn get_or_rebuild(&self, command: GetOrRebuild) -> Result<Value, Value> {
        let (client, _) = self.client(&command.client)?;
        let ttl = ms(command.ttl_ms.try_into().unwrap_or(0));
        let mut asking = client.get_or_rebuild(command.key).ttl(ttl).tags(command.tags);
        if let Some(stale_ms) = command.stale_ms {
            asking = asking.stale_ttl(ms(stale_ms));
        }
        if let Some(absent_ttl_ms) = command.absent_ttl_ms {
            asking = asking.absent_ttl(ms(absent_ttl_ms));
        }
        if let Some(wait_ms) = command.wait_ms {
            asking = asking.wait(ms(wait_ms));
        }
        if let Some(lease_ms) = command.lease_ms {
            asking = asking.lease_for(ms(lease_ms));
        }
        if let Some(stale) = command.stale {
            asking = asking.stale(stale.into());
        }
        if let Some(read) = command.read {
            asking = asking.read(read.into());
        }
        if let Some(refresh) = command.refresh {
            asking = asking.refresh(refresh);
        }
        if let Some(revalidate) = command.revalidate {
            asking = asking.revalidate(revalidate.into());
        }
        if let Some(on_unavailable) = command.on_unavailable {
            asking = asking.on_unavailable(on_unavailable.into());
        }
        if let Some(traceparent) = command.traceparent {
            asking = asking.traceparent(traceparent);
        }
        let (output, name, what) = (self.output.clone(), command.call.clone(), command.rebuild);
        let gate = what.gate.as_ref().map(|gate| self.gate(gate));
        let asked = asking
            .with_lease(move |lease| rebuild::run(output.clone(), name.clone(), what.clone(), gate.clone(), lease));
        let asked = async { asked.await.map_err(failed) };
        let value = self.until_left(Some(command.call), command.deadline_ms, asked).await?;
        Ok(json!({ "value": value.map(|bytes| BASE64_STANDARD.encode(bytes)) }))
    }

    async fn call(&self, command: Call) -> Result<Value, Value> {
        let stub = self.client(&command.client)?.0.stub().ok_or("no service")?;
        let deadline = command.deadline_ms.map(ms);
        let called = raw::call(stub, &command.method, command.request, deadline);
        self.until_left(command.call, None, called).await
    }

    async fn bench(&self, command: Bench) -> Result<Value, Value> {
        let Bench { client, key, calls, in_flight } = command;
        let (client, session) = self.client(&client)?;
        let stub = client.stub().ok_or("no service")?;
        let client_us = client_us(&client, &key, calls, in_flight).await.map_err(failed)?;
        let stub_us = if session {
            session_us(&stub, &key, calls, in_flight).await
        } else {
            unary_us(&stub, &key, calls, in_flight).await
        };
        let stub_us = stub_us.map_err(|status| status.to_string())?;
        Ok(json!({ "client_us": client_us, "stub_us": stub_us, "stub": if session { "session" } else { "unary" } }))
    }

    /// Its caller leaves by `cancel`, or by itself after so long: the future is dropped, as Rust does it.
    async fn until_left<T>(
        &self,
        call: Option<String>,
        deadline_ms: Option<u64>,
        asked: impl Future<Output = Result<T, Value>>,
    ) -> Result<T, Value> {
        let left = call.as_ref().map(|call| self.left(call)).unwrap_or_default();
        let within = timeout(deadline_ms.map_or(Duration::MAX, ms), asked);
        let ended = tokio::select! {
            ended = within => ended.ok(),
            () = left.cancelled() => None,
        };
        if let Some(call) = call {
            self.state().calls.remove(&call);
        }
        ended.unwrap_or_else(|| Err(json!({ "kind": "cancelled" })))
    }

    fn client(&self, name: &str) -> Result<(Client, bool), Value> {
        let found = self.state().clients.get(name).cloned();
        found.ok_or_else(|| json!({ "kind": "adapter", "message": format!("no client {name}") }))
    }

    fn left(&self, call: &str) -> CancellationToken {
        self.state().calls.entry(call.to_owned()).or_default().clone()
    }

    fn gate(&self, gate: &str) -> CancellationToken {
        self.state().gates.entry(gate.to_owned()).or_default().clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(error: Error) -> Value {
    match error {
        Error::Rebuild(error) => json!({ "kind": "rebuild", "message": error.to_string() }),
        Error::RebuildFailed { message, retry_after } => {
            json!({ "kind": "rebuild_failed", "message": message, "retry_after_ms": retry_after.as_millis() as u64 })
        }
        Error::Busy { reason, retry_after, .. } => {
            let reason = word(reason.as_str_name(), "BUSY_REASON_");
            json!({ "kind": "busy", "reason": reason, "retry_after_ms": retry_after.as_millis() as u64 })
        }
        Error::Call(error) => {
            let mut told = json!({ "kind": "dibs", "code": raw::code_name(error.code), "message": error.message });
            if let Some(retry_after) = error.retry_after {
                told["retry_after_ms"] = json!(retry_after.as_millis() as u64);
            }
            told
        }
        other => json!({ "kind": "adapter", "message": other.to_string() }),
    }
}

/// `wait_ended` of `BUSY_REASON_WAIT_ENDED`.
fn word(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_ascii_lowercase()
}

fn hook(event: &Event<'_>) -> Value {
    let told = |name: &str, key: &str| json!({ "event": "hook", "name": name, "key": key });
    match event {
        Event::Hit { key, .. } => told("hit", key),
        Event::Wait { key, .. } => told("wait", key),
        Event::Publish { key, outcome, .. } => {
            let mut told = told("publish", key);
            told["outcome"] = word(outcome.as_str_name(), "PUBLISH_OUTCOME_").into();
            told
        }
        Event::LeaseLost { key, .. } => told("lease_lost", key),
        Event::LocalRebuild { key, .. } => told("local_rebuild", key),
        Event::BackgroundError { key, .. } => told("background_error", key),
        other => json!({ "event": "hook", "name": format!("{other:?}") }),
    }
}
