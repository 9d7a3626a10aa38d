//! What is counted, with the feature `opentelemetry`. Its provider is the process's, and comes before the first call.
#[path = "it/support/mod.rs"]
#[allow(dead_code, reason = "the other tests need the rest")]
mod support;

use std::{
    collections::BTreeMap,
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use dibs::{
    Client,
    v1::{BusyReason, ExtendOutcome, PublishOutcome},
};
use opentelemetry::{KeyValue, global};
use opentelemetry_sdk::metrics::{
    InMemoryMetricExporter, PeriodicReader, SdkMeterProvider,
    data::{AggregatedMetrics, MetricData},
};

use support::{
    TTL,
    answers::{busy, extended, hit, lease, published, refuse, released},
    fake::{Answer, Fake},
    soon, value,
};

struct Meter {
    exporter: InMemoryMetricExporter,
    provider: SdkMeterProvider,
}

/// The process's: each test counts in a namespace of its own.
static METER: LazyLock<Meter> = LazyLock::new(|| {
    let exporter = InMemoryMetricExporter::default();
    let provider = SdkMeterProvider::builder().with_reader(PeriodicReader::builder(exporter.clone()).build()).build();
    global::set_meter_provider(provider.clone());
    Meter { exporter, provider }
});

/// `hits near fresh` and the like, with how often it was counted in the namespace.
fn counted(namespace: &str) -> BTreeMap<String, u64> {
    // The tests share one exporter: none may empty it while another one reads.
    static READING: Mutex<()> = Mutex::new(());
    let _reading = READING.lock().unwrap_or_else(PoisonError::into_inner);
    METER.exporter.reset();
    METER.provider.force_flush().unwrap();
    let mut counts = BTreeMap::new();
    for resource in METER.exporter.get_finished_metrics().unwrap() {
        for metric in
            resource.scope_metrics().filter(|scope| scope.scope().name() == "dibs-client").flat_map(|it| it.metrics())
        {
            let name = metric.name().trim_start_matches("dibs.client.");
            let mut add = |attributes: Vec<KeyValue>, count: u64| {
                let is_its = |it: &KeyValue| it.key.as_str() == "dibs.namespace" && it.value.as_str() == namespace;
                if attributes.iter().any(is_its) {
                    let mut words: Vec<_> = attributes.iter().filter(|it| !is_its(it)).collect();
                    words.sort_by_key(|it| std::cmp::Reverse(it.key.as_str().to_owned()));
                    let words: Vec<_> = words.iter().map(|it| it.value.as_str().into_owned()).collect();
                    counts.insert([vec![name.to_owned()], words].concat().join(" "), count);
                }
            };
            match metric.data() {
                AggregatedMetrics::U64(MetricData::Sum(sum)) => {
                    sum.data_points().for_each(|point| add(point.attributes().cloned().collect(), point.value()));
                }
                AggregatedMetrics::F64(MetricData::Histogram(histogram)) => {
                    // In seconds, up to the longest default wait.
                    histogram.data_points().for_each(|point| assert_eq!(point.bounds().last(), Some(30.0)));
                    histogram.data_points().for_each(|point| add(point.attributes().cloned().collect(), point.count()));
                }
                _ => {}
            }
        }
    }
    counts
}

fn wants(namespace: &str, wanted: &[(&str, u64)]) {
    let mut counts = counted(namespace);
    // On a busy machine the way of an answer may look like a wait.
    if !wanted.iter().any(|(name, _)| name.starts_with("wait")) {
        counts.remove("wait.duration");
    }
    assert_eq!(counts, wanted.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect());
}

/// One call that gets this lease, and rebuilds so.
async fn rebuilt(namespace: &'static str, publish: Answer, extend: ExtendOutcome, rebuild: &'static str) {
    LazyLock::force(&METER);
    let fake = Fake::start().await;
    let expires_in_ms = if extend == ExtendOutcome::Lost { 300 } else { 10_000 };
    let leased = support::answers::lease_reply("t", expires_in_ms, None);
    fake.will("get_or_lock", [Answer::Reply(leased), busy(60_000, BusyReason::WaitEnded)]);
    fake.will("publish", [publish]);
    fake.will("extend", [extended(extend, 10_000)]);
    fake.will("release", [released()]);
    let client = fake.client_with(Client::builder().namespace(namespace));
    let call = client.get_or_rebuild("k").ttl(TTL).wait(Duration::from_secs(25)).with_lease(move |lease| async move {
        match rebuild {
            "fails" => Err("down".into()),
            "hangs" => {
                std::future::pending::<()>().await;
                value("v")
            }
            "keeps" => {
                lease.do_not_store();
                value("v")
            }
            _ => value("v"),
        }
    });
    let _ = soon(call).await;
    assert!(client.flush(Duration::from_secs(60)).await);
}

#[tokio::test]
async fn rebuilds_are_counted_by_what_became_of_them() {
    let (stored, kept) = (published(PublishOutcome::Stored), ExtendOutcome::Extended);
    rebuilt("stored", stored.clone(), kept, "makes").await;
    wants("stored", &[("rebuilds published", 1)]);
    rebuilt("superseded", published(PublishOutcome::Superseded), kept, "makes").await;
    wants("superseded", &[("rebuilds not_stored", 1)]);
    rebuilt("large", refuse(tonic::Code::ResourceExhausted, "value: too large", None), kept, "makes").await;
    wants("large", &[("rebuilds not_stored", 1)]);
    rebuilt("kept", stored.clone(), kept, "keeps").await;
    wants("kept", &[("rebuilds not_stored", 1)]);
    rebuilt("failed", stored.clone(), kept, "fails").await;
    wants("failed", &[("rebuilds failed", 1)]);
    rebuilt("lost", stored, ExtendOutcome::Lost, "hangs").await;
    wants("lost", &[("leases_lost", 1), ("rebuilds lost", 1), ("wait.duration", 1)]);
}

#[tokio::test]
async fn hits_are_counted_by_source_and_freshness_and_stay_when_a_client_ends() {
    LazyLock::force(&METER);
    let fake = Fake::start().await;
    fake.will("get_or_lock", [hit("v"), hit("no json")]);
    let client = fake.client_with(Client::builder().namespace("hits"));
    let ask = || client.get_or_rebuild("k").ttl(TTL);
    ask().with(|| async { value("unused") }).await.unwrap();
    assert_eq!(client.get("k").json::<u32>().await.unwrap(), None);
    let wanted = [("hits service fresh", 2), ("undecodable", 1)];
    wants("hits", &wanted);
    drop(client);
    wants("hits", &wanted);
}

#[tokio::test]
async fn callers_that_join_and_local_rebuilds_are_counted() {
    LazyLock::force(&METER);
    let client = Client::builder().target("127.0.0.1:1").namespace("local").build().unwrap();
    let ask = || client.get_or_rebuild("k").ttl(TTL).with(|| async { value("mine") });
    let (one, other) = futures_util::future::join(ask(), ask()).await;
    one.unwrap();
    other.unwrap();
    ask().await.unwrap();
    wants("local", &[("hits joined fresh", 1), ("hits near fresh", 1), ("local_rebuilds", 1)]);
}

#[tokio::test]
async fn the_user_agent_names_the_client() {
    LazyLock::force(&METER);
    let fake = Fake::start().await;
    fake.will("get_or_lock", [lease()]);
    fake.will("publish", [published(PublishOutcome::Stored)]);
    fake.client().get_or_rebuild("k").ttl(TTL).with(|| async { value("v") }).await.unwrap();
    let agent = fake.heard()[0].metadata.get("user-agent").unwrap().to_str().unwrap().to_owned();
    assert!(agent.starts_with(concat!("dibs-client-rust/", env!("CARGO_PKG_VERSION"), " tonic/")), "{agent}");
}
