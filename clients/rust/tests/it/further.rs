//! Reads, write-throughs, several keys at once, and what is told of a key.
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use dibs::{
    Client, Code, Error, Found, ManyError, PublishOutcome, Stale, testing,
    v1::{self, BusyReason, Intent, get_or_lock_many_response::Result as Answered, session_call::Request},
};
use tokio::{sync::Notify, time::advance};

use crate::support::{
    TTL,
    answers::{busy, hit, lease, lease_reply, published, refuse, released, unavailable},
    call_error,
    fake::Fake,
    ms, patient, soon, text, value,
};

fn sorted<T>(values: HashMap<String, T>) -> BTreeMap<String, T> {
    values.into_iter().collect()
}

/// Its value for each of these keys.
fn all<const N: usize>(keys: [&str; N], value: &'static str) -> BTreeMap<String, Option<Bytes>> {
    keys.into_iter().map(|key| (key.to_owned(), Some(value.into()))).collect()
}

#[tokio::test(start_paused = true)]
async fn a_read_tells_a_value_an_absence_and_nothing_apart() {
    let client = testing::client();
    assert_eq!(client.get("k").await.unwrap(), None);
    assert!(client.set("k").ttl(TTL).stale_ttl(TTL).publish(Some("v".into())).await.unwrap().is_stored());
    assert!(client.set("none").ttl(TTL).publish(None).await.unwrap().is_stored());
    let Some(Found { value: Some(bytes), stale: false, .. }) = client.get("k").await.unwrap() else { panic!() };
    assert_eq!(bytes, "v");
    assert!(matches!(client.get("none").await.unwrap(), Some(Found { value: None, stale: false, .. })));
    advance(TTL).await;
    assert!(matches!(client.get("k").await.unwrap(), Some(Found { value: Some(_), stale: true, .. })));
    assert_eq!(client.get("k").stale(Stale::Forbid).await.unwrap(), None);
    assert_eq!(client.get("none").await.unwrap(), None);
}

#[tokio::test]
async fn a_read_asks_for_no_lease_and_does_not_wait_unless_it_is_told_to() {
    let fake = Fake::start().await;
    fake.will("get_or_lock", [busy(5, BusyReason::NoValue), busy(5, BusyReason::WaitEnded), hit("v")]);
    let client = fake.client();
    assert_eq!(client.get("k").await.unwrap(), None);
    let found = client.get("k").wait(Duration::from_secs(20)).await.unwrap();
    assert_eq!(found.and_then(|found| found.value).as_deref(), Some(b"v".as_slice()));
    let asked = fake.asked();
    assert!(asked.iter().all(|request| request.intent() == Intent::Read));
    assert_eq!(asked[0].wait_ms, Some(0));
    assert!(asked[1].wait_ms.is_some_and(|ms| ms > 10_000));
    fake.will("get_or_lock", [unavailable()]);
    assert_eq!(call_error(client.get("k").await.unwrap_err()).code, Code::Unavailable);
    fake.will("get_or_lock", [refuse(Code::PermissionDenied, "no", None)]);
    assert_eq!(call_error(client.get("k").await.unwrap_err()).code, Code::PermissionDenied);
}

#[tokio::test]
async fn a_set_takes_a_lease_for_a_refresh_and_publishes_under_it() {
    let fake = Fake::start().await;
    fake.will("get_or_lock", [lease()]);
    fake.will("publish", [published(PublishOutcome::Superseded)]);
    let set = fake.client().set("k").ttl(ms(1_500)).stale_ttl(ms(7)).tags(["t"]);
    let outcome = set.publish(Some("v".into())).await.unwrap();
    assert_eq!((outcome, outcome.is_stored()), (PublishOutcome::Superseded, false));
    assert_eq!(fake.asked()[0].intent(), Intent::Refresh);
    let published = &fake.published()[0];
    assert_eq!((published.token.as_str(), published.ttl_ms, published.stale_ms), ("t", 1_500, Some(7)));
    assert_eq!(published.tags, ["t"]);
}

#[tokio::test]
async fn a_set_with_bad_terms_sends_nothing_and_one_that_fails_gives_its_lease_back() {
    let fake = Fake::start().await;
    let client = fake.client();
    for (ttl, tag, says) in [(Duration::ZERO, "t", "ttl_ms: 0 is outside"), (TTL, "", "tags[0]: 0 bytes is outside")] {
        let error = client.set("k").ttl(ttl).tags([tag]).publish(None).await.unwrap_err();
        assert!(call_error(error).message.starts_with(says));
    }
    let nan = client.set("k").ttl(TTL).json::<f64>().publish(Some(f64::NAN)).await.unwrap_err();
    assert_eq!(nan.to_string(), "the value: NaN is not a JSON number");
    assert!(fake.heard().is_empty());
    fake.will("get_or_lock", [lease()]);
    fake.will("publish", [refuse(Code::InvalidArgument, "value: too large", None)]);
    fake.will("release", [released()]);
    let error = client.set("k").ttl(TTL).publish(None).await.unwrap_err();
    assert_eq!(call_error(error).message, "value: too large");
    assert!(client.flush(Duration::from_secs(60)).await);
    assert_eq!(fake.released().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_begins_after_a_set_joins_nothing_from_before_it() {
    let service = testing::Service::default();
    let (client, other) = (service.client(Client::builder()), service.client(Client::builder()));
    let (begun, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, opens) = (begun.clone(), gate.clone());
    let old = client.get_or_rebuild("k").ttl(TTL).with(move || {
        let (begins, opens) = (begins.clone(), opens.clone());
        async move {
            begins.notify_one();
            opens.notified().await;
            value("old")
        }
    });
    let old = tokio::spawn(old);
    begun.notified().await;
    // By another process, so that only the set tells this client; and it need not wait for the rebuild.
    other.invalidate().keys(["k"]).now().await.unwrap();
    client.set("k").ttl(TTL).publish(Some("new".into())).await.unwrap();
    let after = client.get_or_rebuild("k").ttl(TTL).with(|| async { value("unused") }).await.unwrap();
    assert_eq!(text(after), "new");
    gate.notify_one();
    assert_eq!(text(old.await.unwrap().unwrap()), "old", "it was there before");
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_missing_are_rebuilt_together() {
    let client = testing::client();
    client.set("k1").ttl(TTL).publish(Some("old".into())).await.unwrap();
    let runs = Arc::new(Mutex::new(Vec::new()));
    let told = runs.clone();
    let many = client.get_or_rebuild_many(["k1", "k2", "k3", "k2", "k4"]).ttl(TTL).with(move |keys| {
        told.lock().unwrap().push(keys.clone());
        // The last is left out.
        async move { Ok(keys.into_iter().filter(|key| key != "k4").map(|key| (key, Some("new".into())))) }
    });
    let mut values = sorted(many.await.unwrap());
    assert_eq!(values.remove("k4"), Some(None));
    assert_eq!(values.remove("k1"), Some(Some("old".into())));
    assert_eq!(values, all(["k2", "k3"], "new"));
    let mut runs = runs.lock().unwrap().clone();
    runs.iter_mut().for_each(|keys| keys.sort());
    assert_eq!(runs, [["k2", "k3", "k4"]]);
    assert!(matches!(client.get("k4").await.unwrap(), Some(Found { value: None, .. })));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_another_caller_rebuilds_holds_up_no_other() {
    let service = testing::Service::default();
    let (one, other) = (service.client(Client::builder()), service.client(Client::builder()));
    let gate = Arc::new(Notify::new());
    let opens = gate.clone();
    let held = tokio::spawn(one.get_or_rebuild("k2").ttl(TTL).with(move || {
        let opens = opens.clone();
        async move {
            opens.notified().await;
            value("theirs")
        }
    }));
    tokio::task::yield_now().await;
    while one.explain("k2").await.unwrap().lease.is_none() {
        tokio::task::yield_now().await;
    }
    let wait = other.get_or_rebuild_many(["k1", "k2"]).ttl(TTL).wait(ms(300)).with(|keys| async move {
        assert_eq!(keys, ["k1"]);
        Ok([("k1".to_owned(), Some("mine".into()))])
    });
    let ManyError::Keys { errors, values } = wait.await.unwrap_err() else { panic!() };
    assert!(matches!(errors["k2"], Error::Busy { reason: BusyReason::WaitEnded, .. }));
    assert_eq!(sorted(values), all(["k1"], "mine"));
    gate.notify_one();
    held.await.unwrap().unwrap();
    let text = Error::from(ManyError::<Bytes>::Keys { errors, values: HashMap::new() }).to_string();
    assert!(text.starts_with("1 keys failed, such as \"k2\": no answer within the wait"), "{text}");
}

#[tokio::test]
async fn a_failure_of_many_is_that_of_each_key_and_all_leases_go_back() {
    let fake = Fake::start().await;
    fake.will("get_or_lock_many", [lease()]);
    fake.will("release", [released()]);
    let client = fake.client();
    let none: HashMap<String, Option<Bytes>> = HashMap::new();
    let failing = client.get_or_rebuild_many(["k1", "k2"]).ttl(TTL).with(move |_| {
        let none = none.clone();
        async move { if none.is_empty() { Err("down".into()) } else { Ok(none) } }
    });
    let ManyError::Keys { errors, values } = failing.await.unwrap_err() else { panic!() };
    assert!(values.is_empty());
    assert_eq!(errors["k1"].to_string() + &errors["k2"].to_string(), "downdown");
    let mut given_back: Vec<_> = fake.released().into_iter().map(|release| (release.key, release.token)).collect();
    given_back.sort();
    assert_eq!(given_back, [("k1".into(), "t of k1".to_owned()), ("k2".into(), "t of k2".to_owned())]);
}

#[tokio::test]
async fn bad_terms_and_no_keys_send_nothing() {
    let fake = Fake::start().await;
    let client = fake.client();
    let many = |keys: Vec<&'static str>, ttl| {
        client.get_or_rebuild_many(keys).ttl(ttl).with(|_| async { Ok(HashMap::<String, Option<Bytes>>::new()) })
    };
    let ManyError::Refused(error) = many(vec!["k"], Duration::ZERO).await.unwrap_err() else { panic!() };
    assert!(call_error(error).message.starts_with("ttl_ms: 0 is outside"));
    assert!(many(Vec::new(), TTL).await.unwrap().is_empty());
    assert!(fake.heard().is_empty());
}

#[tokio::test]
async fn more_keys_than_one_call_may_name_go_in_several() {
    let fake = Fake::start().await;
    fake.will("get_or_lock_many", [hit("v")]);
    let keys = (0..1_001).map(|n| format!("k{n}"));
    let values = fake
        .client()
        .get_or_rebuild_many(keys)
        .ttl(TTL)
        .with(|_| async { Err::<HashMap<String, Option<Bytes>>, _>("there is nothing to rebuild".into()) });
    assert_eq!(values.await.unwrap().len(), 1_001);
    let mut counts: Vec<_> = fake.asked_many().iter().map(|request| request.keys.len()).collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 1_000]);
}

#[tokio::test]
async fn without_the_service_all_keys_are_rebuilt_by_one_call() {
    let runs = Arc::new(AtomicU32::new(0));
    let count = runs.clone();
    let client = Client::builder().target("127.0.0.1:1").build().unwrap();
    let many = client.get_or_rebuild_many(["k1", "k2", "k3"]).ttl(TTL).with(move |keys| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { Ok(keys.into_iter().map(|key| (key, Some("mine".into())))) }
    });
    assert_eq!(sorted(many.await.unwrap()), all(["k1", "k2", "k3"], "mine"));
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_caller_of_many_that_leaves_gives_back_what_has_come_and_what_comes() {
    let fake = Fake::start().await;
    let mut sessions = fake.sessions();
    let client = patient().target(fake.target()).build().unwrap();
    let call = tokio::spawn(client.get_or_rebuild_many(["k1", "k2", "k3"]).ttl(TTL).with(|_| async {
        std::future::pending::<()>().await;
        Ok(HashMap::<String, Option<Bytes>>::new())
    }));
    let mut session = soon(sessions.recv()).await.unwrap();
    session.heard().await;
    session.welcome("r");
    let asked = session.call().await;
    let Some(Request::GetOrLockMany(request)) = asked.request else { panic!("another call") };
    assert_eq!((request.keys.len(), request.wait_ms), (3, Some(0)));
    let lease_of = |key: &str, more| {
        let v1::session_reply::Response::GetOrLock(response) = lease_reply(key, 60_000, None) else { panic!() };
        let result = Some(Answered::Response(response));
        let answer = v1::GetOrLockManyResponse { key: key.into(), result };
        let response = Some(v1::session_reply::Response::GetOrLockMany(answer));
        v1::SessionResponse { replies: vec![v1::SessionReply { id: asked.id, more, response }], ..Default::default() }
    };
    session.send(lease_of("k1", true));
    // It has come, if only to the client.
    tokio::time::sleep(ms(50)).await;
    call.abort();
    let mut given_back = Vec::new();
    let mut hear = async |session: &mut crate::support::fake::Session, count: usize| {
        let mut cancelled = Vec::new();
        while given_back.len() < count || cancelled.is_empty() && count == 1 {
            let message = session.heard().await;
            cancelled.extend(message.cancelled_ids);
            for call in message.calls {
                let Some(Request::Release(release)) = call.request else { panic!("no release") };
                given_back.push(release.token);
            }
        }
    };
    hear(&mut session, 1).await;
    session.send(lease_of("k2", true));
    session.send(lease_of("k3", false));
    hear(&mut session, 3).await;
    given_back.sort();
    assert_eq!(given_back, ["k1", "k2", "k3"]);
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_of_many_says_how_each_value_is_stored() {
    let client = testing::client();
    let many = client.get_or_rebuild_many(["k1", "k2", "k3"]).ttl(TTL).tags(["all"]).with_leases(|leases| async move {
        leases.get("k1").expect("it is one of them").set_tags(["own"]);
        leases.get("k2").expect("it is one of them").do_not_store();
        assert!(leases.get("other").is_none());
        Ok(leases.keys().map(|key| (key.to_owned(), Some("v".into()))).collect::<Vec<_>>())
    });
    assert_eq!(sorted(many.await.unwrap()), all(["k1", "k2", "k3"], "v"));
    assert_eq!(client.explain("k1").await.unwrap().value.unwrap().tags, ["own"]);
    assert!(client.explain("k2").await.unwrap().value.is_none());
    assert_eq!(client.explain("k3").await.unwrap().value.unwrap().tags, ["all"]);
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_of_many_that_asks_for_one_of_its_keys_fails_at_once() {
    let client = testing::client();
    let own = client.clone();
    let many = client.get_or_rebuild_many(["k1", "k2"]).ttl(TTL).with(move |_| {
        let own = own.clone();
        async move {
            own.get_or_rebuild("k2").ttl(TTL).with(|| async { value("v") }).await?;
            Ok(HashMap::<String, Option<Bytes>>::new())
        }
    });
    let ManyError::Keys { errors, .. } = many.await.unwrap_err() else { panic!() };
    for key in ["k1", "k2"] {
        let Error::Rebuild(error) = &errors[key] else { panic!() };
        assert!(matches!(error.downcast_ref(), Some(Error::ReentrantRebuild { .. })));
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_explained_while_it_is_rebuilt_and_after() {
    let client = testing::client();
    let within = client.clone();
    let rebuild = client.get_or_rebuild("k").ttl(TTL).with(move || {
        let within = within.clone();
        async move {
            let explained = within.explain("k").await?;
            assert!(explained.lease.is_some_and(|lease| lease.fence > 0 && !lease.expires_in.is_zero()));
            assert!(explained.value.is_none());
            value("four")
        }
    });
    rebuild.await.unwrap();
    let explained = client.explain("k").await.unwrap();
    let stored = explained.value.expect("a value");
    assert_eq!((stored.size_bytes, stored.absent, stored.stale, stored.fresh_for), (4, false, false, TTL));
    assert!(explained.lease.is_none() && explained.fence > 0 && explained.failed.is_none());
}
