//! The adapter's commands. Times are milliseconds; values are base64.
use std::{collections::HashMap, time::Duration};

use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
pub struct Command {
    pub id: Value,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum What {
    Open(Open),
    Close { client: String },
    GetOrRebuild(Box<GetOrRebuild>),
    GetOrRebuildMany(Box<GetOrRebuildMany>),
    Get(Get),
    Set(Set),
    Explain { client: String, key: String },
    Invalidate(Invalidate),
    Ready(Within),
    Flush(Within),
    Show { client: String },
    Cancel { call: String },
    Let { gate: String },
    Call(Call),
    Bench(Bench),
}

#[derive(Deserialize)]
pub struct Open {
    pub client: String,
    pub target: String,
    pub namespace: Option<String>,
    pub holder: Option<String>,
    pub token: Option<String>,
    pub session: Option<bool>,
    pub on_unavailable: Option<OnUnavailable>,
    pub connect_ms: Option<u64>,
    pub lease_hold_max_ms: Option<Millis>,
    #[serde(default)]
    pub key_affinity: bool,
    #[serde(default)]
    pub near_cache: bool,
    #[serde(default)]
    pub serve_near_when_unavailable: bool,
    #[serde(default)]
    pub allow_insecure_token: bool,
    pub token_file: Option<String>,
    pub token_function: Option<String>,
    pub tls_ca: Option<String>,
    pub tls_cert: Option<String>,
    pub tls_key: Option<String>,
}

#[derive(Deserialize)]
pub struct Invalidate {
    pub client: String,
    pub keys: Option<Vec<String>>,
    pub tags: Option<Vec<String>>,
    #[serde(default)]
    pub all: bool,
    pub mode: Option<String>,
}

#[derive(Deserialize)]
pub struct Within {
    pub client: String,
    pub timeout_ms: u64,
}

/// Milliseconds, as a number or as text. A number beyond a Duration becomes the largest one.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "Value")]
pub struct Millis(pub Duration);

impl TryFrom<Value> for Millis {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let ms =
            value.as_f64().or_else(|| value.as_str()?.parse().ok()).ok_or_else(|| format!("{value} is no time"))?;
        // Whole milliseconds are exact.
        let whole = Duration::try_from_secs_f64(ms.trunc().max(0.0)).map(|seconds| seconds / 1_000);
        let part = Duration::from_secs_f64(ms.fract().max(0.0) / 1e3);
        Ok(Self(whole.map_or(Duration::MAX, |whole| whole.saturating_add(part))))
    }
}

#[derive(Deserialize)]
pub struct GetOrRebuild {
    pub client: String,
    pub call: String,
    #[serde(flatten)]
    pub asked: Asked,
}

/// The options are those of [`GetOrRebuild`]; a key has none.
#[derive(Deserialize)]
pub struct GetOrRebuildMany {
    pub keys: Vec<String>,
    #[serde(flatten)]
    pub one: GetOrRebuild,
}

#[derive(Deserialize)]
pub struct Get {
    pub client: String,
    pub call: String,
    pub key: String,
    pub wait_ms: Option<Millis>,
    pub stale: Option<Stale>,
    pub read: Option<Read>,
    pub codec: Option<Codec>,
    pub deadline_ms: Option<u64>,
}

#[derive(Deserialize)]
pub struct Set {
    pub client: String,
    pub call: String,
    pub key: String,
    pub value: Option<String>,
    pub ttl_ms: Millis,
    pub stale_ms: Option<Millis>,
    #[serde(default)]
    pub tags: Vec<String>,
    pub wait_ms: Option<Millis>,
    pub codec: Option<Codec>,
    pub deadline_ms: Option<u64>,
}

/// A request, also one by a rebuild.
#[derive(Clone, Deserialize)]
pub struct Asked {
    #[serde(default)]
    pub key: String,
    pub namespace: Option<String>,
    pub ttl_ms: Millis,
    pub stale_ms: Option<Millis>,
    pub absent_ttl_ms: Option<Millis>,
    #[serde(default)]
    pub tags: Vec<String>,
    pub wait_ms: Option<Millis>,
    pub lease_ms: Option<Millis>,
    pub stale: Option<Stale>,
    pub read: Option<Read>,
    pub refresh: Option<bool>,
    pub revalidate: Option<Revalidate>,
    #[serde(default)]
    pub stale_if_error: bool,
    pub codec: Option<Codec>,
    #[serde(default)]
    pub detached: bool,
    pub on_unavailable: Option<OnUnavailable>,
    pub traceparent: Option<String>,
    pub deadline_ms: Option<u64>,
    #[serde(default)]
    pub rebuild: Script,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    Json,
}

/// What a rebuild does: the same each time, or the first entry the first time, and so on.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub enum Script {
    Each(Vec<Rebuild>),
    Same(Box<Rebuild>),
}

impl Default for Script {
    fn default() -> Self {
        Self::Same(Box::default())
    }
}

impl Script {
    /// For the `n`th run, from 0.
    pub fn of_run(&self, n: usize) -> Rebuild {
        match self {
            Self::Same(rebuild) => (**rebuild).clone(),
            Self::Each(rebuilds) => rebuilds.get(n).or(rebuilds.last()).cloned().unwrap_or_default(),
        }
    }
}

/// What a rebuild does.
#[derive(Clone, Default, Deserialize)]
pub struct Rebuild {
    pub after_ms: Option<u64>,
    pub value: Option<String>,
    #[serde(default)]
    pub absent: bool,
    pub size: Option<usize>,
    pub fail: Option<String>,
    pub retry_after_ms: Option<u64>,
    pub gate: Option<String>,
    #[serde(default)]
    pub ignore_loss: bool,
    pub asks: Option<Box<Asked>>,
    #[serde(default)]
    pub throws_badly: bool,
    pub panics: Option<String>,
    pub ttl_ms: Option<Millis>,
    pub stale_ms: Option<Millis>,
    pub tags: Option<Vec<String>>,
    #[serde(default)]
    pub do_not_store: bool,
    /// For many keys: base64, or null for nothing.
    #[serde(default)]
    pub values: HashMap<String, Option<String>>,
    /// For each of many keys that has no value of its own.
    pub each: Option<String>,
    /// The options of single keys' values.
    #[serde(default)]
    pub of: HashMap<String, Rebuild>,
}

#[derive(Deserialize)]
pub struct Call {
    pub client: String,
    pub method: String,
    pub request: Value,
    pub deadline_ms: Option<u64>,
    pub call: Option<String>,
}

#[derive(Deserialize)]
pub struct Bench {
    pub client: String,
    pub key: String,
    pub calls: u64,
    pub in_flight: u64,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnavailable {
    Rebuild,
    Fail,
}

impl From<OnUnavailable> for dibs::OnUnavailable {
    fn from(it: OnUnavailable) -> Self {
        match it {
            OnUnavailable::Rebuild => Self::Rebuild,
            OnUnavailable::Fail => Self::Fail,
        }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stale {
    Allow,
    Forbid,
}

impl From<Stale> for dibs::Stale {
    fn from(it: Stale) -> Self {
        match it {
            Stale::Allow => Self::Allow,
            Stale::Forbid => Self::Forbid,
        }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Read {
    Near,
    Store,
}

impl From<Read> for dibs::Read {
    fn from(it: Read) -> Self {
        match it {
            Read::Near => Self::Near,
            Read::Store => Self::Store,
        }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revalidate {
    Background,
    Await,
}

impl From<Revalidate> for dibs::Revalidate {
    fn from(it: Revalidate) -> Self {
        match it {
            Revalidate::Background => Self::Background,
            Revalidate::Await => Self::Await,
        }
    }
}

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
