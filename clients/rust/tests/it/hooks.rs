//! What hooks hear.
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use dibs::{Client, ClientBuilder, Event, Lease, v1::ExtendOutcome, v1::PublishOutcome};
use tokio::time::advance;

use crate::support::{
    Frozen, TTL,
    answers::{busy, extended, hit, lease, lease_reply, published, refuse, released, unavailable},
    fake::{Answer, Fake},
    ms, text, until, value,
};

fn listening() -> (ClientBuilder, Arc<Mutex<Vec<String>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = heard.clone();
    let builder = Client::builder().namespace("n").hook(move |event| {
        let line = match event {
            Event::Hit { namespace, key, source, stale } => format!("hit {namespace} {key} {source:?} {stale}"),
            Event::Wait { answered, .. } => format!("wait {answered}"),
            Event::Publish { outcome, fence, .. } => format!("publish {outcome:?} {fence}"),
            Event::LeaseLost { key, .. } => format!("lease_lost {key}"),
            Event::LocalRebuild { cause, .. } => format!("local_rebuild {}", cause.message),
            Event::BackgroundError { error, .. } => format!("background_error {error}"),
            other => format!("{other:?}"),
        };
        listener.lock().unwrap().push(line);
    });
    (builder, heard)
}

/// The first `count` that it hears, in no order. Its time stands still until it hears of something: on a busy machine
/// the way of an answer would look like a wait.
async fn heard_of(answers: impl IntoIterator<Item = Answer>, rebuild: &'static str, count: usize) -> Vec<String> {
    let _frozen = Frozen::begin();
    let fake = Fake::start().await;
    fake.will("get_or_lock", answers);
    fake.will("publish", [published(PublishOutcome::Stored)]);
    fake.will("release", [released()]);
    let (builder, heard) = listening();
    let call = fake
        .client_with(builder)
        .get_or_rebuild("k")
        .ttl(TTL)
        .with(move || async move { if rebuild == "fails" { Err("no luck".into()) } else { value(rebuild) } });
    let service_returns = async {
        until(|| !heard.lock().unwrap().is_empty()).await;
        advance(ms(50)).await;
    };
    let _ = tokio::join!(call, service_returns);
    until(|| heard.lock().unwrap().len() >= count).await;
    let mut heard = heard.lock().unwrap().clone();
    heard.sort();
    heard
}

#[tokio::test]
async fn hits_waits_and_publishes() {
    assert_eq!(heard_of([hit("v")], "", 1).await, ["hit n k Service false"]);
    let waits = [busy(1, dibs::v1::BusyReason::WaitEnded), hit("v")];
    assert_eq!(heard_of(waits, "", 2).await, ["hit n k Service false", "wait false"]);
    assert_eq!(heard_of([lease()], "v", 1).await, ["publish Stored 4"]);
}

#[tokio::test]
async fn what_goes_on_behind() {
    let stale = || Answer::Reply(lease_reply("t", 10_000, Some("old")));
    assert_eq!(heard_of([stale()], "fails", 2).await, ["background_error no luck", "hit n k Service true"]);
    assert_eq!(heard_of([unavailable()], "v", 1).await, ["local_rebuild gone"]);
}

#[tokio::test]
async fn a_lease_that_is_lost_and_a_result_that_is_not_delivered() {
    let fake = Fake::start().await;
    fake.will("get_or_lock", [Answer::Reply(lease_reply("t", 60, None)), lease()]);
    fake.will("extend", [extended(ExtendOutcome::Lost, 0)]);
    fake.will("publish", [refuse(dibs::Code::Unavailable, "later", Some(1))]);
    fake.will("release", [released()]);
    let (builder, heard) = listening();
    let runs = Arc::new(AtomicU32::new(0));
    let rebuild = move |lease: Lease| {
        let is_first = runs.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if is_first {
                lease.lost().await;
            }
            value("v")
        }
    };
    fake.client_with(builder).get_or_rebuild("k").ttl(TTL).with_lease(rebuild).await.unwrap();
    until(|| heard.lock().unwrap().len() == 2).await;
    assert_eq!(*heard.lock().unwrap(), ["lease_lost k", "background_error Unavailable: later"]);
    assert_eq!(fake.published().len(), 4);
}

#[tokio::test]
async fn one_that_panics_harms_nobody() {
    let fake = Fake::start().await;
    fake.will("get_or_lock", [hit("v")]);
    let client = fake.client_with(Client::builder().hook(|_| panic!("as a test has it")));
    let got = client.get_or_rebuild("k").ttl(TTL).with(|| async { value("") }).await;
    assert_eq!(text(got.unwrap()), "v");
}
