//! Runs commands on clients of their names.
use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use dibs::Client;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{
    asking::ask,
    bench::{client_us, session_us, unary_us},
    command::{Bench, Call, Get, GetOrRebuild, GetOrRebuildMany, Invalidate, Open, Set, What, Within, ms},
    further,
    opening::opening,
    output::Output,
    raw,
    told::failed,
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
            What::GetOrRebuildMany(command) => return self.get_or_rebuild_many(*command).await,
            What::Get(command) => return self.get(command).await,
            What::Set(command) => return self.set(command).await,
            What::Explain { client, key } => {
                let explained = self.client(&client)?.0.explain(key).await.map_err(failed)?;
                return Ok(further::explanation(&explained));
            }
            What::Invalidate(command) => return self.invalidate(command).await,
            What::Ready(Within { client, timeout_ms }) => {
                let ready = self.client(&client)?.0.ready(ms(timeout_ms)).await;
                return Ok(json!({ "ready": ready }));
            }
            What::Flush(Within { client, timeout_ms }) => {
                let flushed = self.client(&client)?.0.flush(ms(timeout_ms)).await;
                return Ok(json!({ "flushed": flushed }));
            }
            What::Show { client } => {
                let client = &self.client(&client)?.0;
                return Ok(json!({ "text": format!("{client:?} {client:#?}") }));
            }
            What::Call(command) => return self.call(command).await,
            What::Bench(command) => return self.bench(command).await,
        }
        Ok(json!({}))
    }

    fn open(&self, open: Open) -> Result<Value, Value> {
        let (name, session) = (open.client.clone(), open.session.unwrap_or(true));
        let client = opening(open, self.output.clone()).build().map_err(failed)?;
        self.state().clients.insert(name, (client, session));
        Ok(json!({}))
    }

    async fn get_or_rebuild(&self, command: GetOrRebuild) -> Result<Value, Value> {
        let (client, _) = self.client(&command.client)?;
        let deadline_ms = command.asked.deadline_ms;
        let asked = ask(self.clone(), client, command.call.clone(), command.asked);
        let asked = async { asked.await.map_err(failed) };
        let value = self.until_left(Some(command.call), deadline_ms, asked).await?;
        Ok(json!({ "value": value.map(|bytes| BASE64_STANDARD.encode(bytes)) }))
    }

    async fn get_or_rebuild_many(&self, GetOrRebuildMany { keys, one }: GetOrRebuildMany) -> Result<Value, Value> {
        let (client, _) = self.client(&one.client)?;
        let deadline_ms = one.asked.deadline_ms;
        let asked = further::ask_many(self.clone(), client, one.call.clone(), keys, one.asked);
        let values = self.until_left(Some(one.call), deadline_ms, asked).await?;
        Ok(json!({ "values": values }))
    }

    async fn get(&self, command: Get) -> Result<Value, Value> {
        let (client, _) = self.client(&command.client)?;
        let (call, deadline_ms) = (command.call.clone(), command.deadline_ms);
        self.until_left(Some(call), deadline_ms, further::get(client, command)).await
    }

    async fn set(&self, command: Set) -> Result<Value, Value> {
        let (client, _) = self.client(&command.client)?;
        let (call, deadline_ms) = (command.call.clone(), command.deadline_ms);
        self.until_left(Some(call), deadline_ms, further::set(client, command)).await
    }

    async fn invalidate(&self, command: Invalidate) -> Result<Value, Value> {
        let mut invalidate = self.client(&command.client)?.0.invalidate();
        if let Some(keys) = command.keys {
            invalidate = invalidate.keys(keys);
        }
        if let Some(tags) = command.tags {
            invalidate = invalidate.tags(tags);
        }
        if command.all {
            invalidate = invalidate.all();
        }
        if command.mode.as_deref() == Some("mark_stale") {
            invalidate = invalidate.mark_stale();
        }
        let done = invalidate.now().await.map_err(failed)?;
        Ok(json!({ "keys_invalidated": done.keys_invalidated, "leases_voided": done.leases_voided }))
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

    /// The caller leaves by `cancel`, or by itself after this long. The future is dropped, as usual in Rust.
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

    pub fn output(&self) -> &Output {
        &self.output
    }

    pub fn gate(&self, gate: &str) -> CancellationToken {
        self.state().gates.entry(gate.to_owned()).or_default().clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
