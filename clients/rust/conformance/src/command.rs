//! What the adapter is told. Times are milliseconds; values are base64.
use std::time::Duration;

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
}

#[derive(Deserialize)]
pub struct GetOrRebuild {
    pub client: String,
    pub call: String,
    pub key: String,
    pub ttl_ms: i64,
    pub stale_ms: Option<u64>,
    pub absent_ttl_ms: Option<u64>,
    #[serde(default)]
    pub tags: Vec<String>,
    pub wait_ms: Option<u64>,
    pub lease_ms: Option<u64>,
    pub stale: Option<Stale>,
    pub read: Option<Read>,
    pub refresh: Option<bool>,
    pub revalidate: Option<Revalidate>,
    pub on_unavailable: Option<OnUnavailable>,
    pub traceparent: Option<String>,
    pub deadline_ms: Option<u64>,
    #[serde(default)]
    pub rebuild: Rebuild,
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
