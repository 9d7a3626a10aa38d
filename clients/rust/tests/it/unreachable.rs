//! A service that is not there, or does not answer, and one that comes back.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use dibs::{BusyReason, Client, ClientBuilder, Code, Error, GetOrRebuild, Lease, LeaseReason, OnUnavailable, Read};
use futures_util::future::join_all;
use tokio::{net::TcpListener, sync::Notify, time::advance};

use crate::support::{
    Frozen, SOON, TTL, call_error, fresh_key, moment, ms, service::Service, soon, text, until, value,
};

fn both() -> [ClientBuilder; 2] {
    [true, false].map(|session| Client::builder().session(session))
}

/// A port without a listener.
async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Takes connections and says nothing on them, as a hung process does.
async fn mute() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    (listener, target)
}

/// The time stands still: a call that comes when the rebuild has ended begins its own.
#[tokio::test]
async fn is_done_without_one_rebuild_at_a_time_for_each_key() {
    let _frozen = Frozen::begin();
    let target = nowhere().await;
    for builder in both() {
        let client = builder.target(&target).build().unwrap();
        let (rebuilds, gate) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let call = |refresh| {
            let (count, opens) = (rebuilds.clone(), gate.clone());
            let rebuild = move |lease: Lease| {
                count.fetch_add(1, Ordering::SeqCst);
                let opens = opens.clone();
                async move {
                    assert_eq!((lease.reason(), lease.fence()), (LeaseReason::Local, 0));
                    opens.notified().await;
                    value("mine")
                }
            };
            client.get_or_rebuild("k").ttl(TTL).refresh(refresh).with_lease(rebuild)
        };
        // Those who refresh are not joined before the service is asked, but here they are.
        let calls = tokio::spawn(join_all([call(false), call(true), call(true)]));
        until(|| rebuilds.load(Ordering::SeqCst) > 0).await;
        // For the others too, the connection is refused at once.
        for _ in 0..100 {
            moment().await;
        }
        gate.notify_waiters();
        for got in soon(calls).await.unwrap() {
            assert_eq!(text(got.unwrap()), "mine");
        }
        assert_eq!(rebuilds.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn is_an_error_with_its_address_where_that_is_asked_for() {
    let target = nowhere().await;
    for builder in both() {
        let client = builder.target(&target).on_unavailable(OnUnavailable::Fail).build().unwrap();
        let error = client.get_or_rebuild("k").ttl(TTL).with(|| async { value("") }).await.unwrap_err();
        let error = call_error(error);
        assert_eq!(error.code, Code::Unavailable);
        assert!(error.message.contains(&target), "{error}");
        assert!(matches!(client.lease("k", TTL).await, Err(dibs::Error::Call(_))));
    }
}

#[tokio::test]
async fn hangs_and_is_done_without_when_the_bound_is_over_once_for_all_calls() {
    let (_listener, target) = mute().await;
    for builder in both() {
        let client = builder.target(&target).connect_timeout(ms(1_000)).build().unwrap();
        let began = Instant::now();
        let calls = (0..20).map(|n| client.get_or_rebuild(n.to_string()).ttl(TTL).with(|| async { value("mine") }));
        for got in join_all(calls).await {
            assert_eq!(text(got.unwrap()), "mine");
        }
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn is_killed_and_found_again_when_it_is_back() {
    for builder in both() {
        let service = Service::start(&[]);
        let target = service.target.clone();
        let client = service.client_with(builder);
        let strict = || client.get_or_rebuild(fresh_key()).ttl(TTL).on_unavailable(OnUnavailable::Fail);
        strict().with(|| async { value("v") }).await.unwrap();
        drop(service);
        let got = client.get_or_rebuild(fresh_key()).ttl(TTL).with(|| async { value("mine") }).await;
        assert_eq!(text(got.unwrap()), "mine");
        let _service = Service::start_at(&target, &[]);
        let began = Instant::now();
        while strict().with(|| async { value("v") }).await.is_err() {
            assert!(began.elapsed() < SOON, "it is not found again");
            tokio::time::sleep(ms(10)).await;
        }
    }
}

#[tokio::test]
async fn is_killed_under_a_call_that_waits() {
    for builder in both() {
        let service = Service::start(&[]);
        let client = service.client_with(builder);
        let holder = service.client();
        let key = fresh_key();
        let _guard = holder.lease(&key, TTL).await.unwrap();
        let waiting = tokio::spawn(client.get_or_rebuild(&key).ttl(TTL).with(|| async { value("mine") }));
        tokio::time::sleep(ms(100)).await;
        let began = Instant::now();
        drop(service);
        assert_eq!(text(waiting.await.unwrap().unwrap()), "mine");
        // A connection that says nothing any more is noticed after 15 s.
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
}

fn alone(target: &str) -> Client {
    Client::builder().target(target).build().unwrap()
}

#[tokio::test]
async fn what_was_rebuilt_without_it_serves_the_next_callers_for_a_short_while() {
    let _frozen = Frozen::begin();
    let client = alone(&nowhere().await);
    let read = async |asking: GetOrRebuild, rebuilt: &'static str| {
        text(asking.with(move || async move { value(rebuilt) }).await.unwrap())
    };
    let asking = || client.get_or_rebuild("k").ttl(TTL);
    assert_eq!(read(asking(), "1").await, "1");
    assert_eq!(read(asking(), "2").await, "1");
    assert_eq!(read(asking().refresh(true), "3").await, "3");
    assert_eq!(read(asking().read(Read::Store), "4").await, "4");
    assert_eq!(read(asking(), "5").await, "4");
    client.invalidate().keys(["k"]).now().await.unwrap_err();
    assert_eq!(read(asking(), "6").await, "6");
    client.invalidate().tags(["any"]).now().await.unwrap_err();
    assert_eq!(read(asking(), "7").await, "7");
    let short = || client.get_or_rebuild("short").ttl(ms(1));
    assert_eq!(read(short(), "1").await, "1");
    advance(ms(5)).await;
    assert_eq!(read(short(), "2").await, "2");
}

#[tokio::test]
async fn what_was_rebuilt_without_it_is_kept_when_the_own_token_cannot_be_had() {
    let _frozen = Frozen::begin();
    let works = Arc::new(AtomicBool::new(true));
    let token = works.clone();
    let token = move || if token.load(Ordering::SeqCst) { "t".to_owned() } else { panic!("no token") };
    let client = Client::builder().target(nowhere().await).session(false).token_fn(token).build().unwrap();
    let read = async |rebuilt: &'static str| {
        client.get_or_rebuild("k").ttl(TTL).with(move || async move { value(rebuilt) }).await
    };
    assert_eq!(text(read("kept").await.unwrap()), "kept");
    works.store(false, Ordering::SeqCst);
    assert_eq!(call_error(read("-").await.unwrap_err()).code, Code::Unauthenticated);
    works.store(true, Ordering::SeqCst);
    assert_eq!(text(read("new").await.unwrap()), "kept");
}

#[tokio::test]
async fn what_was_rebuilt_without_it_is_dropped_when_it_answers_again() {
    for builder in both() {
        let service = Service::start(&[]);
        let target = service.target.clone();
        let client = service.client_with(builder);
        let key = fresh_key();
        let read = async |rebuilt: &'static str| {
            text(client.get_or_rebuild(&key).ttl(TTL).with(move || async move { value(rebuilt) }).await.unwrap())
        };
        drop(service);
        assert_eq!((read("local").await, read("-").await), ("local".into(), "local".into()));
        let _service = Service::start_at(&target, &[]);
        assert!(client.ready(SOON).await);
        let late = Instant::now() + SOON;
        while read("stored").await != "stored" {
            assert!(Instant::now() < late, "it is not dropped");
            tokio::time::sleep(ms(10)).await;
        }
    }
}

#[tokio::test]
async fn a_call_after_the_own_invalidation_joins_no_rebuild_from_before_it_and_each_keeps_its_wait() {
    let client = alone(&nowhere().await);
    let (gate, began) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (opens, begins) = (gate.clone(), began.clone());
    let old = move || {
        let (opens, begins) = (opens.clone(), begins.clone());
        async move {
            begins.notify_one();
            opens.notified().await;
            value("old")
        }
    };
    let asking = || client.get_or_rebuild("k").ttl(TTL);
    let holder = tokio::spawn(asking().with(old));
    began.notified().await;
    let busy = asking().wait(ms(20)).with(|| async { value("-") }).await;
    assert!(matches!(busy, Err(Error::Busy { reason: BusyReason::WaitEnded, .. })), "{busy:?}");
    client.invalidate().keys(["k"]).now().await.unwrap_err();
    assert_eq!(text(asking().with(|| async { value("new") }).await.unwrap()), "new");
    gate.notify_one();
    assert_eq!(text(holder.await.unwrap().unwrap()), "old");
    assert_eq!(text(asking().with(|| async { value("-") }).await.unwrap()), "new", "the old one is not kept");
}

#[tokio::test]
async fn a_change_of_another_key_leaves_what_is_being_rebuilt_without_it() {
    let client = alone(&nowhere().await);
    let (gate, began) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (opens, begins) = (gate.clone(), began.clone());
    let asking = || client.get_or_rebuild("k").ttl(TTL);
    let rebuilding = tokio::spawn(asking().with(move || {
        let (opens, begins) = (opens.clone(), begins.clone());
        async move {
            begins.notify_one();
            opens.notified().await;
            value("one")
        }
    }));
    soon(began.notified()).await;
    client.invalidate().keys(["other"]).now().await.unwrap_err();
    gate.notify_one();
    assert_eq!(text(soon(rebuilding).await.unwrap().unwrap()), "one");
    assert_eq!(text(asking().with(|| async { value("-") }).await.unwrap()), "one", "it is kept");
}

#[tokio::test]
async fn a_call_for_the_newest_joins_no_rebuild_from_before_it() {
    for newest in [|asking: GetOrRebuild| asking.refresh(true), |asking: GetOrRebuild| asking.read(Read::Store)] {
        let client = alone(&nowhere().await);
        let asking = || client.get_or_rebuild("k").ttl(TTL);
        let (began, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (begins, opens) = (began.clone(), gate.clone());
        let earlier = tokio::spawn(asking().with(move || {
            let (begins, opens) = (begins.clone(), opens.clone());
            async move {
                begins.notify_one();
                opens.notified().await;
                value("old")
            }
        }));
        soon(began.notified()).await;
        assert_eq!(text(soon(newest(asking()).with(|| async { value("new") })).await.unwrap()), "new");
        gate.notify_one();
        assert_eq!(text(soon(earlier).await.unwrap().unwrap()), "old");
        assert_eq!(text(asking().with(|| async { value("-") }).await.unwrap()), "new", "the older one is not kept");
    }
}

#[tokio::test]
async fn is_not_ready_and_then_it_is() {
    let target = nowhere().await;
    for builder in both() {
        let client = builder.target(&target).build().unwrap();
        assert!(!client.ready(ms(50)).await);
        let _service = Service::start_at(&target, &[]);
        assert!(client.ready(SOON).await);
    }
}

#[tokio::test]
async fn what_goes_on_behind_is_waited_for() {
    let client = dibs::testing::client();
    assert!(client.flush(Duration::ZERO).await);
    let asking = || client.get_or_rebuild("k").ttl(ms(1)).stale_ttl(TTL);
    asking().with(|| async { value("old") }).await.unwrap();
    tokio::time::sleep(ms(5)).await;
    let gate = Arc::new(Notify::new());
    let opens = gate.clone();
    let rebuild = move || {
        let opens = opens.clone();
        async move {
            opens.notified().await;
            value("new")
        }
    };
    assert_eq!(text(asking().with(rebuild).await.unwrap()), "old");
    assert!(!client.flush(ms(20)).await);
    gate.notify_one();
    assert!(client.flush(SOON).await);
}
