//! Rebuilds and values that go wrong, and what a rebuild says of its own value.
use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use dibs::{BusyReason, Client, Code, Error, Event, Lease, Revalidate, testing, v1::PublishOutcome};

use crate::support::{
    Frozen, TTL,
    answers::{hit, lease, lease_reply, published, refuse, released},
    call_error,
    fake::{Answer, Fake},
    ms, soon, text, until, value,
};

async fn with_a_lease() -> Fake {
    let fake = Fake::start().await;
    fake.will("get_or_lock", [lease()]);
    fake.will("publish", [published(PublishOutcome::Stored)]);
    fake.will("release", [released()]);
    fake
}

/// The names of the events that it hears.
fn listening() -> (dibs::ClientBuilder, Arc<Mutex<Vec<&'static str>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = heard.clone();
    let builder = Client::builder().hook(move |event| {
        listener.lock().unwrap().push(match event {
            Event::Hit { .. } => "hit",
            Event::Publish { .. } => "publish",
            Event::NotStorable { .. } => "not_storable",
            Event::Undecodable { .. } => "undecodable",
            Event::BackgroundError { .. } => "background_error",
            _ => "another",
        });
    });
    (builder, heard)
}

fn is_reentrant(error: &dibs::RebuildError, key: &str) -> bool {
    let mut error = error;
    loop {
        match error.downcast_ref::<Error>() {
            Some(Error::Rebuild(inner)) => error = inner,
            Some(Error::ReentrantRebuild { key: named }) => return named == key,
            _ => return false,
        }
    }
}

#[tokio::test]
async fn a_rebuild_that_asks_for_its_own_key_fails_at_once() {
    let client = testing::client();
    let own = client.clone();
    let rebuild = move || {
        let own = own.clone();
        async move { Ok(own.get_or_rebuild("k").ttl(TTL).with(|| async { value("v") }).await?) }
    };
    match soon(client.get_or_rebuild("k").ttl(TTL).with(rebuild)).await {
        Err(Error::Rebuild(error)) => {
            assert!(is_reentrant(&error, "k"));
            assert_eq!(error.to_string(), "dibs: the rebuild of \"k\" asks for \"k\" itself");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_rebuild_that_asks_for_its_own_key_by_way_of_another_fails_at_once() {
    let client = testing::client();
    let own = client.clone();
    let by_lease = client.clone();
    let rebuild = move || {
        let (own, by_lease) = (own.clone(), by_lease.clone());
        async move {
            let of_b = move || {
                let by_lease = by_lease.clone();
                async move {
                    by_lease.lease("a", TTL).await?;
                    value("b")
                }
            };
            Ok(own.get_or_rebuild("b").ttl(TTL).with(of_b).await?)
        }
    };
    match soon(client.get_or_rebuild("a").ttl(TTL).with(rebuild)).await {
        Err(Error::Rebuild(error)) => assert!(is_reentrant(&error, "a")),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_rebuild_may_ask_for_other_keys_and_other_clients() {
    let (client, other) = (testing::client(), testing::client());
    let own = client.clone();
    let rebuild = move || {
        let (own, other) = (own.clone(), other.clone());
        async move {
            other.get_or_rebuild("a").ttl(TTL).with(|| async { value("-") }).await?;
            own.get_or_rebuild("a").ttl(TTL).namespace("another").with(|| async { value("-") }).await?;
            Ok(own.get_or_rebuild("b").ttl(TTL).with(|| async { value("b") }).await?)
        }
    };
    assert_eq!(text(client.get_or_rebuild("a").ttl(TTL).with(rebuild).await.unwrap()), "b");
}

#[tokio::test]
async fn where_it_cannot_be_seen_it_ends_with_the_wait() {
    let client = testing::client();
    let own = client.clone();
    let rebuild = move || {
        let own = own.clone();
        let asking = own.get_or_rebuild("k").ttl(TTL).wait(ms(30)).with(|| async { value("v") });
        async move { Ok(tokio::spawn(asking).await??) }
    };
    match soon(client.get_or_rebuild("k").ttl(TTL).with(rebuild)).await {
        Err(Error::Rebuild(error)) => {
            let busy = error.downcast_ref::<Error>();
            assert!(matches!(busy, Some(Error::Busy { reason: BusyReason::WaitEnded, .. })), "{busy:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[derive(Debug)]
struct Unreadable;

impl fmt::Display for Unreadable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("as a test has it")
    }
}

impl std::error::Error for Unreadable {}

#[tokio::test]
async fn an_error_that_cannot_be_read_is_its_callers_all_the_same() {
    let fake = with_a_lease().await;
    let fails = || async { Err(Unreadable.into()) };
    match soon(fake.client().get_or_rebuild("k").ttl(TTL).with(fails)).await {
        Err(Error::Rebuild(error)) => assert!(error.downcast_ref::<Unreadable>().is_some()),
        _ => panic!("another end"),
    }
    assert!(!fake.released()[0].failure.as_ref().unwrap().message.is_empty());
}

#[tokio::test]
async fn what_the_service_would_refuse_is_refused_before_the_rebuild_runs() {
    let fake = with_a_lease().await;
    let client = fake.client();
    let asking = |ttl| client.get_or_rebuild("k").ttl(ttl);
    for (asking, told) in [
        (asking(Duration::ZERO), "ttl_ms: 0 is outside 1 to 31536000000"),
        (asking(Duration::MAX), "ttl_ms: 9223372036854775807 is outside 1 to 31536000000"),
        (asking(TTL).absent_ttl(Duration::ZERO), "absent_ttl_ms: 0 is outside 1 to 31536000000"),
        (asking(TTL).stale_ttl(Duration::MAX), "stale_ms: 9223372036854775807 is outside 0 to 31536000000"),
        (asking(TTL).tags([""]), "tags[0]: 0 bytes is outside 1 to 256"),
        (asking(TTL).tags((0..17).map(|n| n.to_string())), "tags: 17 are more than 16"),
    ] {
        let error = call_error(asking.with(|| async { value("v") }).await.unwrap_err());
        assert_eq!((error.code, error.message.as_str()), (Code::InvalidArgument, told));
    }
    assert!(fake.heard().is_empty());
    // No time is too long to wait, and none is too short to be fresh.
    asking(Duration::from_micros(1)).wait(Duration::MAX).with(|| async { value("v") }).await.unwrap();
    assert_eq!(fake.published()[0].ttl_ms, 1);
}

#[tokio::test]
async fn a_result_that_cannot_be_stored_is_its_callers_and_the_hook_hears_of_it() {
    let fake = with_a_lease().await;
    fake.will("publish", [refuse(Code::ResourceExhausted, "value: 9 bytes is outside 0 to 8", None)]);
    let (builder, heard) = listening();
    let client = fake.client_with(builder);
    assert_eq!(text(client.get_or_rebuild("k").ttl(TTL).with(|| async { value("v") }).await.unwrap()), "v");
    assert!(client.flush(TTL).await);
    assert_eq!(*heard.lock().unwrap(), ["not_storable"]);
    assert_eq!(fake.released()[0].failure.as_ref().unwrap().message, "value: 9 bytes is outside 0 to 8");
}

#[tokio::test]
async fn a_value_that_cannot_be_read_is_rebuilt_once() {
    // On a busy machine the way of an answer would look like a wait, of which the hook hears.
    let _frozen = Frozen::begin();
    let fake = with_a_lease().await;
    fake.will("get_or_lock", [hit("no json"), lease()]);
    let (builder, heard) = listening();
    let client = fake.client_with(builder);
    let read = || client.get_or_rebuild("k").ttl(TTL).json::<u32>().with(|| async { Ok(Some(7)) });
    assert_eq!(read().await.unwrap(), Some(7));
    assert_eq!(*heard.lock().unwrap(), ["hit", "undecodable", "publish"]);
    let intents: Vec<_> = fake.asked().iter().map(dibs::v1::GetOrLockRequest::intent).collect();
    assert_eq!(intents, [dibs::v1::Intent::Rebuild, dibs::v1::Intent::Refresh]);
    fake.will("get_or_lock", [hit("no json")]);
    assert!(matches!(read().await, Err(Error::Codec(_))));
    assert_eq!(fake.asked().len(), 4, "it is tried once");
}

#[tokio::test]
async fn callers_that_cannot_read_a_value_share_its_rebuild() {
    let fake = with_a_lease().await;
    fake.will("get_or_lock", [hit("no json"), lease()]);
    let client = fake.client();
    let rebuilds = Arc::new(AtomicU32::new(0));
    let read = || {
        let count = rebuilds.clone();
        client.get_or_rebuild("k").ttl(TTL).json::<u32>().with(move || {
            count.fetch_add(1, Ordering::SeqCst);
            async { Ok(Some(7)) }
        })
    };
    let (one, two, three) = tokio::join!(read(), read(), read());
    assert_eq!((one.unwrap(), two.unwrap(), three.unwrap()), (Some(7), Some(7), Some(7)));
    assert_eq!((rebuilds.load(Ordering::SeqCst), fake.asked().len()), (1, 2));
}

#[tokio::test]
async fn a_rebuild_says_how_long_its_own_value_is_fresh_and_what_it_is_invalidated_by() {
    let fake = with_a_lease().await;
    let rebuild = |lease: Lease| async move {
        lease.set_ttl(ms(5));
        lease.set_stale_ttl(ms(6));
        lease.set_tags(["own"]);
        value("v")
    };
    let asking = fake.client().get_or_rebuild("k").ttl(TTL).stale_ttl(TTL).tags(["of the call"]);
    asking.with_lease(rebuild).await.unwrap();
    let sent = fake.published().remove(0);
    assert_eq!((sent.ttl_ms, sent.stale_ms, sent.tags), (5, Some(6), vec!["own".to_owned()]));
}

#[tokio::test]
async fn a_stale_value_is_better_than_an_error_where_the_caller_says_so() {
    let fake = with_a_lease().await;
    fake.will("get_or_lock", [Answer::Reply(lease_reply("t", 10_000, Some("old")))]);
    let (builder, heard) = listening();
    let client = fake.client_with(builder);
    let asking = || client.get_or_rebuild("k").ttl(TTL).revalidate(Revalidate::Await);
    let fails = || async { Err::<Option<Bytes>, _>("no luck".into()) };
    assert!(matches!(asking().with(fails).await, Err(Error::Rebuild(_))));
    assert_eq!(text(asking().stale_if_error(true).with(fails).await.unwrap()), "old");
    assert_eq!(*heard.lock().unwrap(), ["background_error", "hit"]);
}

#[tokio::test]
async fn a_wait_in_pieces_outlasts_a_rebuild_that_takes_longer_than_a_piece() {
    let fake = Fake::start().await;
    fake.will("get_or_lock", [crate::support::answers::busy(1, BusyReason::DeadlineTooShort), hit("v")]);
    let asking = fake.client().get_or_rebuild("k").ttl(TTL).wait(Duration::from_secs(600));
    assert_eq!(text(asking.with(|| async { value("own") }).await.unwrap()), "v");
}

#[tokio::test]
async fn a_wait_that_its_caller_does_not_set_outlasts_a_rebuild_that_takes_longer_than_the_services() {
    let fake = Fake::start().await;
    fake.will("get_or_lock", [crate::support::answers::busy(1, BusyReason::DeadlineTooShort), hit("v")]);
    let asking = fake.client().get_or_rebuild("k").ttl(TTL);
    assert_eq!(text(asking.with(|| async { value("own") }).await.unwrap()), "v");
}

#[tokio::test]
async fn a_wait_that_is_longer_than_the_services_is_asked_in_pieces() {
    let fake = Fake::start().await;
    let refused = refuse(Code::InvalidArgument, "wait_ms: 20000 is outside 0 to 500", None);
    let (comes, ended) = crate::support::answers::gated(crate::support::answers::busy(60_000, BusyReason::WaitEnded));
    fake.will("get_or_lock", [refused, ended, hit("v")]);
    let client = fake.client();
    let asking = client.get_or_rebuild("k").ttl(TTL).wait(Duration::from_secs(20));
    let call = tokio::spawn(asking.with(|| async { value("own") }));
    // It waits for some time, and not for its connection.
    until(|| fake.asked().len() == 2).await;
    tokio::time::sleep(ms(50)).await;
    comes.notify_one();
    assert_eq!(text(soon(call).await.unwrap().unwrap()), "v");
    let waits: Vec<_> = fake.asked().iter().map(|request| request.wait_ms).collect();
    assert_eq!((waits[1], waits[2]), (Some(500), Some(500)));
    // Beyond what services allow by default none is named: the deadline tells it.
    fake.will("get_or_lock", [hit("v")]);
    client.get_or_rebuild("k").ttl(TTL).wait(Duration::from_secs(600)).with(|| async { value("own") }).await.unwrap();
    assert_eq!(fake.asked().last().unwrap().wait_ms, None);
}
