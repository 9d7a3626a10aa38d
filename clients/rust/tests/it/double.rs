//! The double in memory, with the real client on it.
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use dibs::{
    Client, Error, Event, Lease, LeaseReason, Leased, Previous, Revalidate, Stale, testing, v1::PublishOutcome,
};
use futures_util::future::join_all;
use tokio::time::advance;

use crate::support::{TTL, call_error, ms, text, value};

async fn read(client: &Client, text: &'static str) -> String {
    crate::support::text(client.get_or_rebuild("k").ttl(TTL).with(move || async move { value(text) }).await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn keeps_values_for_their_ttl() {
    let client = testing::client();
    assert_eq!((read(&client, "1").await, read(&client, "2").await), ("1".into(), "1".into()));
    advance(TTL).await;
    assert_eq!(read(&client, "3").await, "3");
}

#[tokio::test(start_paused = true)]
async fn joins_and_lets_others_wait() {
    let service = testing::Service::default();
    let clients = [service.client(Client::builder()), service.client(Client::builder())];
    let rebuilds = Arc::new(AtomicU32::new(0));
    let calls = (0..10).map(|n| {
        let count = rebuilds.clone();
        let rebuild = move || {
            count.fetch_add(1, Ordering::SeqCst);
            async {
                // Longer than the lease, which is extended.
                tokio::time::sleep(Duration::from_secs(25)).await;
                value("v")
            }
        };
        clients[n % 2].get_or_rebuild("k").ttl(TTL).with(rebuild)
    });
    for got in join_all(calls).await {
        assert_eq!(text(got.unwrap()), "v");
    }
    assert_eq!(rebuilds.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn serves_stale_values_and_tells_the_value_before() {
    let client = testing::client();
    let asking = || client.get_or_rebuild("k").ttl(TTL).stale_ttl(TTL);
    asking().with(|| async { value("old") }).await.unwrap();
    advance(TTL).await;
    let rebuild = |lease: Lease| async move {
        assert_eq!((lease.previous(), lease.reason()), (&Previous::Value("old".into()), LeaseReason::Expired));
        value("new")
    };
    assert_eq!(text(asking().with_lease(rebuild).await.unwrap()), "old");
    tokio::time::sleep(ms(1)).await;
    assert_eq!(text(asking().with(|| async { value("-") }).await.unwrap()), "new");
    advance(TTL).await;
    let awaiting = asking().revalidate(Revalidate::Await).stale(Stale::Allow);
    assert_eq!(text(awaiting.with(|| async { value("newer") }).await.unwrap()), "newer");
    assert_eq!(text(asking().refresh(true).with(|| async { value("newest") }).await.unwrap()), "newest");
}

#[tokio::test(start_paused = true)]
async fn keeps_the_knowledge_that_there_is_nothing() {
    let client = testing::client();
    let asking = || client.get_or_rebuild("k").ttl(TTL).absent_ttl(ms(10));
    assert_eq!(asking().with(|| async { Ok(None) }).await.unwrap(), None);
    assert_eq!(asking().with(|| async { value("v") }).await.unwrap(), None);
    advance(ms(10)).await;
    assert_eq!(text(asking().with(|| async { value("v") }).await.unwrap()), "v");
}

#[tokio::test(start_paused = true)]
async fn tells_of_failures_until_their_back_off_ends() {
    let service = testing::Service::default();
    let (one, two) = (service.client(Client::builder()), service.client(Client::builder()));
    let fails = || async { Err(dibs::RebuildError::from("away").retry_after(TTL)) };
    assert!(matches!(one.get_or_rebuild("k").ttl(TTL).with(fails).await, Err(Error::Rebuild(_))));
    let told = two.get_or_rebuild("k").ttl(TTL).with(|| async { value("v") }).await;
    assert!(matches!(told, Err(Error::RebuildFailed { retry_after: TTL, .. })), "{told:?}");
    advance(TTL).await;
    assert_eq!(read(&two, "v").await, "v");
}

#[tokio::test(start_paused = true)]
async fn invalidates_keys_tags_and_all() {
    let client = testing::client();
    let tagged = async |text: &'static str| {
        let asking = client.get_or_rebuild("k").ttl(TTL).tags(["t"]);
        crate::support::text(asking.with(move || async move { value(text) }).await.unwrap())
    };
    assert_eq!(tagged("1").await, "1");
    assert_eq!(client.invalidate().keys(["k", "other"]).now().await.unwrap().keys_invalidated, 1);
    assert_eq!(tagged("2").await, "2");
    client.invalidate().tags(["t"]).now().await.unwrap();
    assert_eq!(tagged("3").await, "3");
    client.invalidate().all().now().await.unwrap();
    assert_eq!(tagged("4").await, "4");
    client.invalidate().tags(["another"]).now().await.unwrap();
    assert_eq!(tagged("5").await, "4");
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_from_before_an_invalidation_is_not_served() {
    let client = testing::client();
    // An invalidation by tag ends no lease.
    for (by_tag, outcome) in [(true, PublishOutcome::Stored), (false, PublishOutcome::Invalidated)] {
        let Leased::Lease(guard) = client.get_or_rebuild("k").ttl(TTL).tags(["t"]).lease().await.unwrap() else {
            panic!("a value")
        };
        let invalidate = client.invalidate();
        let invalidate = if by_tag { invalidate.tags(["t"]) } else { invalidate.keys(["k"]) };
        invalidate.now().await.unwrap();
        assert_eq!(guard.publish(Some("old".into())).await.unwrap(), outcome);
        assert_eq!(client.get("k").await.unwrap(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_dropped_goes_to_the_next_and_a_wait_ends() {
    let service = testing::Service::default();
    let (one, two) = (service.client(Client::builder()), service.client(Client::builder()));
    let guard = one.lease("k", TTL).await.unwrap();
    let wait = two.get_or_rebuild("k").ttl(TTL).wait(ms(50)).with(|| async { value("v") }).await;
    assert!(matches!(wait, Err(Error::Busy { .. })), "{wait:?}");
    drop(guard);
    assert_eq!(read(&two, "v").await, "v");
}

#[tokio::test]
async fn has_hooks_and_refuses_what_is_no_ttl() {
    let hits = Arc::new(AtomicU32::new(0));
    let count = hits.clone();
    let client = testing::Service::default().client(Client::builder().hook(move |event| {
        if matches!(event, Event::Hit { .. }) {
            count.fetch_add(1, Ordering::SeqCst);
        }
    }));
    read(&client, "1").await;
    read(&client, "2").await;
    assert_eq!(hits.load(Ordering::SeqCst), 1);
    assert!(client.stub().is_none());
    let error = client.get_or_rebuild("0").ttl(Duration::ZERO).with(|| async { value("") }).await.unwrap_err();
    assert_eq!(call_error(error).message, "ttl_ms: 0 is outside 1 to 31536000000");
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_of_the_key_or_of_all_ends_a_back_off() {
    let client = testing::client();
    for all in [false, true] {
        client.invalidate().keys(["k"]).now().await.unwrap();
        let fails = || async { Err(dibs::RebuildError::from("away").retry_after(TTL)) };
        assert!(matches!(client.get_or_rebuild("k").ttl(TTL).with(fails).await, Err(Error::Rebuild(_))));
        client.invalidate().tags(["t"]).now().await.unwrap();
        assert!(client.explain("k").await.unwrap().failed.is_some());
        let invalidate = client.invalidate();
        let invalidate = if all { invalidate.all() } else { invalidate.keys(["k"]) };
        invalidate.now().await.unwrap();
        assert_eq!(read(&client, "v").await, "v");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_need_not_wait_for_a_back_off() {
    let client = testing::client();
    let refresh = || client.get_or_rebuild("k").ttl(TTL).refresh(true);
    let fails = || async { Err(dibs::RebuildError::from("away").retry_after(TTL)) };
    for has_value in [false, true] {
        if has_value {
            assert_eq!(read(&client, "v").await, "new");
        }
        assert!(matches!(refresh().with(fails).await, Err(Error::Rebuild(_))));
        assert_eq!(text(refresh().with(|| async { value("newer") }).await.unwrap()), "newer");
        assert!(matches!(refresh().with(fails).await, Err(Error::Rebuild(_))));
        assert_eq!(client.set("k").ttl(TTL).publish(Some("new".into())).await.unwrap(), PublishOutcome::Stored);
    }
}

#[tokio::test(start_paused = true)]
async fn the_empty_namespace_is_the_default_one() {
    let client = testing::client();
    assert_eq!(read(&client, "v").await, "v");
    assert_eq!(client.get("k").namespace("default").await.unwrap().map(|found| text(found.value)), Some("v".into()));
    client.invalidate().namespace("default").all().now().await.unwrap();
    assert_eq!(client.get("k").await.unwrap(), None);
    let guard = client.lease("k", TTL).await.unwrap();
    client.invalidate().namespace("default").all().now().await.unwrap();
    let Leased::Lease(guard) = guard else { panic!("a value") };
    assert_eq!(guard.publish(Some("old".into())).await.unwrap(), PublishOutcome::Stored);
    assert_eq!(client.get("k").await.unwrap(), None, "it does not count");
}

#[tokio::test(start_paused = true)]
async fn a_value_that_is_marked_has_its_stale_time_left_and_no_more() {
    let client = testing::client();
    let has = async || client.get("k").await.unwrap().is_some_and(|found| found.stale);
    let mark = async || client.invalidate().keys(["k"]).mark_stale().now().await.unwrap().keys_invalidated;
    for (stale_ttl, age) in [(Duration::ZERO, Duration::ZERO), (ms(10), Duration::ZERO), (ms(10), TTL)] {
        client.set("k").ttl(TTL).stale_ttl(stale_ttl).publish(Some("v".into())).await.unwrap();
        advance(age).await;
        assert_eq!(mark().await, 1);
        assert_eq!(has().await, !stale_ttl.is_zero());
        advance(stale_ttl).await;
        assert!(!has().await);
        assert_eq!(mark().await, 0, "it is gone");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mark_by_tags_or_of_all_during_a_rebuild_leaves_its_value_stale_from_then_on() {
    for all in [false, true] {
        let client = testing::client();
        let marks = client.clone();
        let mark = async move || {
            let marking = marks.invalidate().mark_stale();
            let marking = if all { marking.all() } else { marking.tags(["a"]) };
            marking.now().await.unwrap();
            advance(ms(5)).await;
        };
        let during = mark.clone();
        let rebuild = move || {
            let mark = during.clone();
            async move {
                mark().await;
                value("v")
            }
        };
        client.get_or_rebuild("k").ttl(TTL).stale_ttl(ms(10)).tags(["a"]).with(rebuild).await.unwrap();
        assert!(client.get("k").await.unwrap().is_some_and(|found| found.stale));
        mark().await;
        assert_eq!(client.get("k").await.unwrap(), None);
    }
}

/// As in the service. One that comes after the failure does not wait for its back-off.
#[tokio::test(start_paused = true)]
async fn a_failure_is_also_that_of_a_refresh_and_of_a_set_that_have_waited() {
    let client = testing::client();
    let failing = || async {
        tokio::time::sleep(ms(100)).await;
        Err("no luck".into())
    };
    let holder = tokio::spawn(client.get_or_rebuild("k").ttl(TTL).with(failing));
    tokio::time::sleep(ms(50)).await;
    let refresh = client.get_or_rebuild("k").ttl(TTL).refresh(true).with(|| async { value("new") });
    let set = || client.set("k").ttl(TTL).publish(Some("set".into()));
    let (refreshed, waited) = tokio::join!(refresh, set());
    assert!(matches!(refreshed, Err(Error::RebuildFailed { message, .. }) if message == "no luck"));
    assert!(matches!(waited, Err(Error::RebuildFailed { .. })), "{waited:?}");
    assert!(matches!(holder.await.unwrap(), Err(Error::Rebuild(_))));
    assert_eq!(set().await.unwrap(), PublishOutcome::Stored);
}
