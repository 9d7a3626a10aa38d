//! Callers of one process that want the same key.
use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use dibs::{
    BusyReason, Client, Error, GetOrRebuild, Read, Stale,
    v1::{Freshness, LeaseReason, PublishOutcome},
};
use tokio::{sync::Notify, task::JoinHandle};

use crate::support::{
    TTL,
    answers::{
        gated, hit, invalidated, lease, lease_beside, lease_reply, not_held, published, published_and_counts, released,
        unavailable,
    },
    fake::{Answer, Fake},
    ms, soon, text, until, value,
};

type Call = JoinHandle<Result<Option<Bytes>, Error>>;

/// A rebuild that is held up until its gate is opened.
struct Held {
    fake: Fake,
    client: Client,
    gate: Arc<Notify>,
    holder: Call,
}

/// The service gives a lease for `k`, and from then on the value `theirs`.
async fn held() -> Held {
    held_with(lease(), || async { value("v") }).await
}

async fn held_with<F, R>(lease: Answer, then: F) -> Held
where
    F: Fn() -> R + Send + Sync + 'static,
    R: Future<Output = Result<Option<Bytes>, dibs::RebuildError>> + Send + 'static,
{
    held_by(|asking| asking, lease, then).await
}

/// The same, by a caller with other options.
async fn held_by<F, R>(options: fn(GetOrRebuild) -> GetOrRebuild, lease: Answer, then: F) -> Held
where
    F: Fn() -> R + Send + Sync + 'static,
    R: Future<Output = Result<Option<Bytes>, dibs::RebuildError>> + Send + 'static,
{
    let fake = Fake::start().await;
    fake.will("get_or_lock", [lease, hit("theirs")]);
    fake.will("publish", [published_and_counts()]);
    fake.will("release", [released()]);
    fake.will("invalidate", [invalidated(1)]);
    let client = fake.client();
    let (gate, began) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (opens, begins, then) = (gate.clone(), began.clone(), Arc::new(then));
    let rebuild = move || {
        let (opens, begins, then) = (opens.clone(), begins.clone(), then.clone());
        async move {
            begins.notify_one();
            opens.notified().await;
            then().await
        }
    };
    let asking = options(client.get_or_rebuild("k").ttl(TTL).revalidate(dibs::Revalidate::Await));
    let holder = tokio::spawn(asking.with(rebuild));
    soon(began.notified()).await;
    Held { fake, client, gate, holder }
}

impl Held {
    fn asking(&self) -> GetOrRebuild {
        self.client.get_or_rebuild("k").ttl(TTL)
    }

    /// A caller that comes now; what it is given shows where it came from.
    async fn late(&self) -> Call {
        let call = tokio::spawn(self.asking().with(|| async { value("own") }));
        // It is in its place before anything else happens.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        call
    }

    async fn ends_with(self, holder: &str, late: Call, theirs: &str, asked: usize) {
        assert_eq!(text(soon(self.holder).await.unwrap().unwrap()), holder);
        assert_eq!(text(soon(late).await.unwrap().unwrap()), theirs);
        assert_eq!(self.fake.asked().len(), asked);
    }
}

#[tokio::test]
async fn a_late_caller_has_the_result_where_it_is_stored_and_counts() {
    let held = held().await;
    let late = held.late().await;
    held.gate.notify_one();
    held.ends_with("v", late, "v", 1).await;
}

#[tokio::test]
async fn a_late_caller_asks_again_where_the_result_may_be_old() {
    for outcome in [PublishOutcome::Stored, PublishOutcome::Superseded, PublishOutcome::NotStored] {
        let held = held().await;
        held.fake.will("publish", [published(outcome)]);
        let late = held.late().await;
        held.gate.notify_one();
        held.ends_with("v", late, "theirs", 2).await;
    }
}

#[tokio::test]
async fn a_late_caller_shares_a_failure_that_the_service_has_taken() {
    for (answer, asked) in [(released(), 1), (not_held(), 2), (unavailable(), 2)] {
        let held = held_with(lease(), || async { Err("no luck".into()) }).await;
        held.fake.will("release", [answer]);
        let late = held.late().await;
        held.gate.notify_one();
        assert_eq!(held.holder.await.unwrap().unwrap_err().to_string(), "no luck");
        match soon(late).await.unwrap() {
            Err(error) => assert_eq!((error.to_string().as_str(), asked), ("no luck", 1)),
            Ok(theirs) => assert_eq!((text(theirs).as_str(), asked), ("theirs", 2)),
        }
        assert_eq!(held.fake.asked().len(), asked);
    }
}

#[tokio::test]
async fn a_late_caller_keeps_its_own_wait() {
    let held = held().await;
    for wait in [Duration::ZERO, ms(30)] {
        let error = soon(held.asking().wait(wait).with(|| async { value("own") })).await.unwrap_err();
        assert!(matches!(error, Error::Busy { reason: BusyReason::WaitEnded, .. }), "{error:?}");
    }
    assert_eq!(held.fake.asked().len(), 1);
    held.gate.notify_one();
    assert_eq!(text(held.holder.await.unwrap().unwrap()), "v");
}

#[tokio::test]
async fn a_rebuild_takes_no_more_callers_when_its_result_is_under_way() {
    let held = held().await;
    let (publish, answer) = gated(published_and_counts());
    held.fake.will("publish", [answer]);
    held.gate.notify_one();
    until(|| held.fake.published().len() == 1).await;
    // It may have been stored and invalidated by now.
    // Without a wait it would be busy at once if it joined.
    let late = held.asking().wait(Duration::ZERO).with(|| async { value("own") });
    assert_eq!(text(soon(late).await.unwrap()), "theirs");
    publish.notify_one();
    assert_eq!(text(held.holder.await.unwrap().unwrap()), "v");
}

#[tokio::test]
async fn a_call_after_the_own_invalidation_joins_nothing_from_before_it() {
    for what in ["key", "tag", "all", "failed"] {
        let held = held().await;
        let before = held.late().await;
        let invalidate = held.client.invalidate();
        let invalidate = match what {
            "tag" => invalidate.tags(["any"]),
            "all" => invalidate.all(),
            _ => invalidate.keys(["k"]),
        };
        if what == "failed" {
            held.fake.will("invalidate", [unavailable()]);
        }
        assert_eq!(invalidate.now().await.is_ok(), what != "failed");
        let after = held.late().await;
        assert_eq!(text(soon(after).await.unwrap().unwrap()), "theirs", "{what}");
        held.gate.notify_one();
        held.ends_with("v", before, "v", 2).await;
    }
}

#[tokio::test]
async fn a_lease_that_came_after_the_own_invalidation_was_asked_for_before_it() {
    let fake = Fake::start().await;
    let (comes, answer) = gated(lease());
    fake.will("get_or_lock", [answer, hit("theirs")]);
    fake.will("publish", [published_and_counts()]);
    fake.will("invalidate", [invalidated(1)]);
    let client = fake.client();
    let (gate, began) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (opens, begins) = (gate.clone(), began.clone());
    let rebuild = move || {
        let (opens, begins) = (opens.clone(), begins.clone());
        async move {
            begins.notify_one();
            opens.notified().await;
            value("v")
        }
    };
    let holder = tokio::spawn(client.get_or_rebuild("k").ttl(TTL).with(rebuild));
    until(|| fake.asked().len() == 1).await;
    client.invalidate().keys(["k"]).now().await.unwrap();
    comes.notify_one();
    soon(began.notified()).await;
    let late = client.get_or_rebuild("k").ttl(TTL).with(|| async { value("own") });
    assert_eq!(text(soon(late).await.unwrap()), "theirs");
    gate.notify_one();
    assert_eq!(text(holder.await.unwrap().unwrap()), "v");
}

#[tokio::test]
async fn an_invalidation_of_another_key_changes_nothing() {
    let held = held().await;
    held.client.invalidate().keys(["other"]).now().await.unwrap();
    held.client.invalidate().namespace("other").all().now().await.unwrap();
    let late = held.late().await;
    held.gate.notify_one();
    held.ends_with("v", late, "v", 1).await;
}

#[tokio::test]
async fn callers_that_want_what_is_newer_or_take_what_is_stale_ask_by_themselves() {
    let held = held_with(Answer::Reply(lease_reply("t", 10_000, Some("old"))), || async { value("v") }).await;
    let rebuild = || async { value("own") };
    for asking in [held.asking(), held.asking().read(Read::Store), held.asking().refresh(true)] {
        assert_eq!(text(soon(asking.with(rebuild)).await.unwrap()), "theirs");
    }
    let strict = tokio::spawn(held.asking().stale(Stale::Forbid).with(rebuild));
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    held.gate.notify_one();
    held.ends_with("v", strict, "v", 4).await;
}

#[tokio::test]
async fn callers_do_not_wait_while_a_fresh_value_is_rebuilt() {
    for reason in [LeaseReason::Refresh, LeaseReason::EarlyRefresh] {
        let lease = lease_beside(reason, "fresh", Freshness::Fresh);
        let held = held_by(|asking| asking.refresh(true), lease, || async { value("v") }).await;
        for asking in [held.asking(), held.asking().stale(Stale::Forbid)] {
            assert_eq!(text(soon(asking.with(|| async { value("own") })).await.unwrap()), "theirs");
        }
        held.gate.notify_one();
        assert_eq!(text(soon(held.holder).await.unwrap().unwrap()), "v");
    }
}

#[tokio::test]
async fn a_holder_that_accepts_no_stale_value_does_not_know_whether_there_is_one() {
    let held = held_by(|asking| asking.stale(Stale::Forbid), lease(), || async { value("v") }).await;
    for asking in [held.asking(), held.asking().stale(Stale::Allow)] {
        assert_eq!(text(soon(asking.with(|| async { value("own") })).await.unwrap()), "theirs");
    }
    let strict = tokio::spawn(held.asking().stale(Stale::Forbid).with(|| async { value("own") }));
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    held.gate.notify_one();
    held.ends_with("v", strict, "v", 3).await;
}

#[tokio::test]
async fn a_request_that_is_under_way_is_joined_by_no_call() {
    let fake = Fake::start().await;
    let (comes, answer) = gated(hit("old"));
    fake.will("get_or_lock", [answer, hit("new")]);
    let client = fake.client();
    let call = || tokio::spawn(client.get_or_rebuild("k").ttl(TTL).with(|| async { value("own") }));
    let first = call();
    until(|| fake.asked().len() == 1).await;
    assert_eq!(text(soon(call()).await.unwrap().unwrap()), "new");
    comes.notify_one();
    assert_eq!(text(first.await.unwrap().unwrap()), "old");
}

#[tokio::test]
async fn a_rebuild_that_hangs_is_given_up_when_it_was_held_too_long() {
    let fake = Fake::start().await;
    fake.will("get_or_lock", [lease(), hit("theirs")]);
    fake.will("release", [released()]);
    let client = fake.client_with(Client::builder().lease_hold_max(ms(50)));
    let runs = Arc::new(AtomicU32::new(0));
    let count = runs.clone();
    let rebuild = move || {
        count.fetch_add(1, Ordering::SeqCst);
        pending()
    };
    assert_eq!(text(soon(client.get_or_rebuild("k").ttl(TTL).with(rebuild)).await.unwrap()), "theirs");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    assert!(client.flush(TTL).await);
    let released = fake.released();
    assert_eq!((released.len(), &released[0].failure), (1, &None));
}

#[tokio::test]
async fn a_result_that_is_not_to_be_stored_is_for_the_callers_before_the_lease() {
    let fake = Fake::start().await;
    fake.will("get_or_lock", [lease(), hit("theirs")]);
    fake.will("release", [released()]);
    let client = fake.client();
    let (gate, began) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (opens, begins) = (gate.clone(), began.clone());
    let rebuild = move |lease: dibs::Lease| {
        let (opens, begins) = (opens.clone(), begins.clone());
        async move {
            begins.notify_one();
            opens.notified().await;
            lease.do_not_store();
            value("private")
        }
    };
    let call = || client.get_or_rebuild("k").ttl(TTL).with_lease(rebuild.clone());
    let (one, two) = (tokio::spawn(call()), tokio::spawn(call()));
    soon(began.notified()).await;
    let late = tokio::spawn(call());
    tokio::task::yield_now().await;
    gate.notify_one();
    for call in [one, two] {
        assert_eq!(text(soon(call).await.unwrap().unwrap()), "private");
    }
    assert_eq!(text(soon(late).await.unwrap().unwrap()), "theirs");
    assert!(client.flush(TTL).await);
    assert_eq!((fake.published().len(), fake.released().len()), (0, 1));
    assert_eq!(fake.released()[0].failure, None);
}
