//! What becomes of a result, and of a lease that is lost meanwhile.
use std::{future::pending, sync::Arc, time::Duration};

use dibs::{
    Client, Error, Lease, Revalidate,
    v1::{ExtendOutcome, PublishOutcome},
};

use tokio::sync::Notify;

use crate::support::{
    SOON, TTL,
    answers::{extended, hit, lease, lease_reply, published, refuse, released, unavailable},
    fake::{Answer, Fake},
    fresh_key, ms,
    service::SERVICE,
    soon, text, until, value,
};

async fn with_a_lease() -> Fake {
    let fake = Fake::start().await;
    fake.will("get_or_lock", [lease()]);
    fake.will("publish", [published(PublishOutcome::Stored)]);
    fake.will("release", [released()]);
    fake
}

fn short_lease(previous: Option<&'static str>) -> Answer {
    Answer::Reply(lease_reply("short", 60, previous))
}

async fn gives_up_when_lost(lease: Lease) -> Result<Option<bytes::Bytes>, dibs::RebuildError> {
    lease.lost().await;
    Err("given up".into())
}

#[tokio::test]
async fn a_result_is_its_callers_whatever_became_of_the_publish() {
    for outcome in [PublishOutcome::Superseded as i32, PublishOutcome::NotStored as i32, 99] {
        let fake = with_a_lease().await;
        let response = dibs::v1::PublishResponse { outcome, ..Default::default() };
        fake.will("publish", [Answer::Reply(dibs::v1::session_reply::Response::Publish(response))]);
        let got = fake.client().get_or_rebuild("k").ttl(TTL).with(|| async { value("v") }).await;
        assert_eq!(text(got.unwrap()), "v");
        assert_eq!(fake.released(), []);
    }
}

#[tokio::test]
async fn a_publish_carries_what_its_caller_said() {
    let fake = with_a_lease().await;
    let asking = fake.client().get_or_rebuild("k").ttl(ms(1)).stale_ttl(ms(2)).tags(["a", "b"]).namespace("n");
    asking.traceparent("00-a-b-01").with(|| async { value("v") }).await.unwrap();
    let sent = fake.published().remove(0);
    assert_eq!((sent.namespace.as_str(), sent.key.as_str(), sent.token.as_str()), ("n", "k", "t"));
    assert_eq!((sent.ttl_ms, sent.stale_ms, sent.tags), (1, Some(2), vec!["a".to_owned(), "b".to_owned()]));
    assert!(fake.heard().iter().all(|heard| heard.metadata.get("traceparent").unwrap() == "00-a-b-01"));
}

#[tokio::test]
async fn a_publish_that_cannot_be_delivered_is_repeated_behind() {
    let fake = with_a_lease().await;
    fake.will("publish", [unavailable(), published(PublishOutcome::Duplicate)]);
    let got = fake.client().get_or_rebuild("k").ttl(TTL).with(|| async { value("v") }).await;
    assert_eq!(text(got.unwrap()), "v");
    until(|| fake.published().len() == 2).await;
    let sent = fake.published();
    assert_eq!(sent[0], sent[1]);
    assert_eq!(fake.released(), []);
}

#[tokio::test]
async fn a_lease_goes_back_if_the_service_answers_a_repeated_publish_and_does_not_take_it() {
    let refused = || refuse(dibs::Code::ResourceExhausted, "value: 9 bytes is outside 0 to 8", None);
    let overloaded = || refuse(dibs::Code::ResourceExhausted, "too many calls", Some(1));
    for (answers, failure, published) in [
        ([unavailable(), refused()], Some("value: 9 bytes is outside 0 to 8"), 2),
        ([unavailable(), overloaded()], None, 4),
    ] {
        let fake = with_a_lease().await;
        fake.will("publish", answers);
        let client = fake.client();
        assert_eq!(text(client.get_or_rebuild("k").ttl(TTL).with(|| async { value("v") }).await.unwrap()), "v");
        assert!(client.flush(TTL).await);
        assert_eq!(fake.published().len(), published);
        let released = fake.released();
        assert_eq!(released.len(), 1, "others need not wait for its end");
        assert_eq!(released[0].failure.as_ref().map(|failure| failure.message.as_str()), failure);
    }
}

#[tokio::test]
async fn a_result_that_the_service_refuses_is_its_callers_and_the_waiters_are_told() {
    let fake = with_a_lease().await;
    fake.will("publish", [refuse(dibs::Code::InvalidArgument, "tags[0]: 0 bytes", None)]);
    let client = fake.client();
    assert_eq!(text(client.get_or_rebuild("k").ttl(TTL).with(|| async { value("v") }).await.unwrap()), "v");
    assert!(client.flush(TTL).await);
    let released = fake.released();
    assert_eq!(released[0].failure.as_ref().unwrap().message, "tags[0]: 0 bytes");
    assert_eq!(released.len(), 1);
}

#[tokio::test]
async fn a_result_is_handed_over_also_when_its_caller_leaves_meanwhile() {
    let fake = with_a_lease().await;
    fake.will("publish", [Answer::Never]);
    let call = tokio::spawn(fake.client().get_or_rebuild("k").ttl(TTL).with(|| async { value("v") }));
    until(|| fake.published().len() == 1).await;
    call.abort();
    tokio::time::sleep(ms(20)).await;
    assert!(fake.heard().iter().all(|heard| !heard.is_left()));
    assert_eq!(fake.released(), []);
}

#[tokio::test]
async fn a_caller_that_leaves_gives_its_lease_back_without_a_failure() {
    let fake = with_a_lease().await;
    let began = Arc::new(Notify::new());
    let tell = began.clone();
    let rebuild = move || {
        tell.notify_one();
        pending()
    };
    let call = tokio::spawn(fake.client().get_or_rebuild("k").ttl(TTL).with(rebuild));
    soon(began.notified()).await;
    call.abort();
    until(|| fake.released().len() == 1).await;
    assert_eq!((fake.released()[0].token.as_str(), &fake.released()[0].failure), ("t", &None));
}

#[tokio::test]
async fn a_lease_that_is_lost_is_asked_for_again_while_there_is_time() {
    let fake = with_a_lease().await;
    fake.will("get_or_lock", [short_lease(None), hit("theirs")]);
    fake.will("extend", [extended(ExtendOutcome::Lost, 0)]);
    let asking = fake.client().get_or_rebuild("k").ttl(TTL);
    assert_eq!(text(soon(asking.with_lease(gives_up_when_lost)).await.unwrap()), "theirs");
    assert_eq!(fake.released(), []);
}

#[tokio::test]
async fn a_lease_that_is_lost_is_the_rebuilds_error_where_there_is_no_time() {
    let fake = with_a_lease().await;
    fake.will("get_or_lock", [short_lease(None)]);
    fake.will("extend", [extended(ExtendOutcome::Lost, 0)]);
    let asking = fake.client().get_or_rebuild("k").ttl(TTL).wait(ms(1));
    let error = soon(asking.with_lease(gives_up_when_lost)).await.unwrap_err();
    assert!(matches!(&error, Error::Rebuild(_)) && error.to_string() == "given up", "{error:?}");
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn what_a_rebuild_returns_after_its_lease_was_lost_is_thrown_away() {
    let fake = with_a_lease().await;
    fake.will("get_or_lock", [short_lease(None), hit("theirs")]);
    fake.will("extend", [Answer::Never]);
    let rebuild = |lease: Lease| async move {
        lease.lost().await;
        assert!(lease.is_lost());
        value("late")
    };
    assert_eq!(text(soon(fake.client().get_or_rebuild("k").ttl(TTL).with_lease(rebuild)).await.unwrap()), "theirs");
    assert_eq!(fake.published().len(), 0);
}

#[tokio::test]
async fn a_lease_is_extended_while_its_rebuild_runs() {
    let fake = with_a_lease().await;
    // Extended every 2 s. On a busy machine that may come late, and must not come too late.
    fake.will("get_or_lock", [Answer::Reply(lease_reply("t", 6_000, None))]);
    fake.will("extend", [extended(ExtendOutcome::Extended, 6_000)]);
    let service = fake.clone();
    let rebuild = move |lease: Lease| {
        let service = service.clone();
        async move {
            until(|| service.heard().len() > 2).await;
            assert!(!lease.is_lost());
            value("v")
        }
    };
    fake.client().get_or_rebuild("k").ttl(TTL).lease_for(ms(6_000)).with_lease(rebuild).await.unwrap();
}

#[tokio::test]
async fn an_invalidation_tells_the_rebuild_at_once() {
    for session in [true, false] {
        let client = SERVICE.client_with(Client::builder().session(session));
        assert!(client.ready(SOON).await);
        let key = fresh_key();
        // Over a session it need not wait for the next extension, which is after 20 s, or 2 s.
        let (lease, at_once) = if session { (60, Duration::from_secs(15)) } else { (6, SOON) };
        let asking = client.get_or_rebuild(&key).ttl(TTL).lease_for(Duration::from_secs(lease)).wait(Duration::ZERO);
        let call = tokio::spawn(asking.with_lease(gives_up_when_lost));
        let other = SERVICE.client();
        soon(until_voided(&other, &key)).await;
        let error = tokio::time::timeout(at_once, call).await.unwrap().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "given up");
    }
}

async fn until_voided(client: &Client, key: &str) {
    while client.invalidate().keys([key]).now().await.unwrap().leases_voided == 0 {
        tokio::time::sleep(ms(5)).await;
    }
}

#[tokio::test]
async fn a_rebuild_behind_a_stale_value_outlives_its_caller() {
    let fake = with_a_lease().await;
    let stale = || Answer::Reply(lease_reply("stale", 10_000, Some("old")));
    fake.will("get_or_lock", [stale(), hit("-")]);
    let rebuild = || async {
        tokio::time::sleep(ms(20)).await;
        value("new")
    };
    let got = fake.client().get_or_rebuild("k").ttl(TTL).with(rebuild).await;
    assert_eq!(text(got.unwrap()), "old");
    until(|| fake.published().len() == 1).await;
    fake.will("get_or_lock", [stale()]);
    let asking = fake.client().get_or_rebuild("k").ttl(TTL).revalidate(Revalidate::Await);
    assert_eq!(text(asking.with(rebuild).await.unwrap()), "new");
}
