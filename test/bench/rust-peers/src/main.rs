//! The Rust client and moka, for the bench `clients`. Each line on standard input is a command, and each line on
//! standard output its result, as in `go-peers`.
use std::{
    env,
    io::stdin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use cpu_time::ProcessTime;
use dibs::{Client, ClientBuilder};
use moka::future::Cache;
use serde_json::{Value, json};
use tokio::{sync::Notify, task::JoinSet, time::sleep};

const VALUE: Bytes = Bytes::from_static(&[b'x'; 100]);
const TTL: Duration = Duration::from_secs(3_600);
const WAIT: Duration = Duration::from_secs(60);
const BYTES_MAX: u64 = 10_000_000;
const WARM_UP_CALLS: u64 = 1_000;

/// One way to get a value: from the cache, or by a rebuild.
#[derive(Clone)]
enum Way {
    Dibs(Client),
    /// Within one process. Its users have no lock between processes.
    Moka(Cache<String, Bytes>),
}

/// What a rebuild does.
#[derive(Clone, Default)]
struct Rebuild {
    took: Duration,
    count: Arc<AtomicU64>,
    /// Notified when it begins, if it never ends.
    held: Option<Arc<Notify>>,
}

impl Rebuild {
    async fn run(self) -> Bytes {
        self.count.fetch_add(1, Ordering::Relaxed);
        if let Some(held) = self.held {
            held.notify_one();
            std::future::pending::<()>().await;
        }
        if !self.took.is_zero() {
            sleep(self.took).await;
        }
        VALUE
    }
}

impl Way {
    async fn get(&self, key: &str, rebuild: &Rebuild) -> Bytes {
        match self {
            Self::Moka(cache) => cache.get_with_by_ref(key, rebuild.clone().run()).await,
            Self::Dibs(client) => {
                let rebuild = rebuild.clone();
                let asking = client.get_or_rebuild(key).ttl(TTL).wait(WAIT);
                let got = asking.with(move || {
                    let rebuild = rebuild.clone();
                    async move { Ok(Some(rebuild.run().await)) }
                });
                got.await.expect("a value").expect("no absence")
            }
        }
    }
}

/// The wall time and this process's CPU time of a hit, in nanoseconds.
async fn hits(way: &Way, key: &str, calls: u64, in_flight: u64) -> Value {
    let rebuild = Rebuild::default();
    for _ in 0..WARM_UP_CALLS {
        assert_eq!(way.get(key, &rebuild).await, VALUE);
    }
    let (began, used) = (Instant::now(), ProcessTime::now());
    if in_flight == 1 {
        for _ in 0..calls {
            assert_eq!(way.get(key, &rebuild).await, VALUE);
        }
    } else {
        let mut all = JoinSet::new();
        for _ in 0..in_flight {
            let (way, key, rebuild) = (way.clone(), key.to_owned(), rebuild.clone());
            all.spawn(async move {
                for _ in 0..calls / in_flight {
                    assert_eq!(way.get(&key, &rebuild).await, VALUE);
                }
            });
        }
        all.join_all().await;
    }
    let per = |took: Duration| took.as_secs_f64() * 1e9 / calls as f64;
    json!({ "wallNs": per(began.elapsed()), "cpuNs": per(used.elapsed()) })
}

/// Many callers request one key at once.
async fn stampede(way: &Way, key: &str, calls: u64, rebuild_ms: u64) -> Value {
    let rebuild = Rebuild { took: Duration::from_millis(rebuild_ms), ..Rebuild::default() };
    let mut all = JoinSet::new();
    for _ in 0..calls {
        let (way, key, rebuild) = (way.clone(), key.to_owned(), rebuild.clone());
        all.spawn(async move {
            let began = Instant::now();
            way.get(&key, &rebuild).await;
            began.elapsed().as_secs_f64() * 1e3
        });
    }
    let took_ms = all.join_all().await;
    json!({ "tookMs": took_ms, "rebuilds": rebuild.count.load(Ordering::Relaxed) })
}

/// Holds the lease until this process is killed.
async fn hold(way: &Way, key: &str) -> Value {
    let held = Arc::new(Notify::new());
    let rebuild = Rebuild { held: Some(held.clone()), ..Rebuild::default() };
    let (way, key) = (way.clone(), key.to_owned());
    tokio::spawn(async move { way.get(&key, &rebuild).await });
    held.notified().await;
    json!({ "holds": true })
}

async fn dibs(builder: ClientBuilder, targets: &str) -> Way {
    let client = builder.target(targets).build().expect("options that work");
    assert!(client.ready(WAIT).await, "no service at {targets}");
    Way::Dibs(client)
}

#[tokio::main]
async fn main() {
    let targets = env::args().nth(1).expect("the addresses of the service");
    let near = dibs(Client::builder().near_cache(BYTES_MAX), &targets).await;
    let session = dibs(Client::builder(), &targets).await;
    let weigh = |key: &String, value: &Bytes| u32::try_from(key.len() + value.len()).unwrap_or(u32::MAX);
    let moka = Way::Moka(Cache::builder().max_capacity(BYTES_MAX).weigher(weigh).time_to_live(TTL).build());
    // Nothing else runs between two commands.
    for line in stdin().lines() {
        let asked: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
        let way = match asked["way"].as_str() {
            Some("near") => &near,
            Some("session") => &session,
            _ => &moka,
        };
        let key = asked["key"].as_str().expect("a key");
        let number = |name: &str| asked[name].as_u64().unwrap_or(1);
        let answer = match asked["do"].as_str() {
            Some("hits") => hits(way, key, number("calls"), number("inFlight")).await,
            Some("hold") => hold(way, key).await,
            _ => stampede(way, key, number("calls"), number("rebuildMs")).await,
        };
        println!("{answer}");
    }
}
