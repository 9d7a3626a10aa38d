//! Leases in the user's own hands.
use dibs::{LeaseReason, Leased};

use crate::support::{TTL, fresh_key, service::SERVICE, soon, text, value};

#[tokio::test]
async fn are_published_under() {
    let (one, two) = (SERVICE.client(), SERVICE.client());
    let key = fresh_key();
    let Leased::Lease(guard) = one.lease(&key, TTL).await.unwrap() else { panic!("a value") };
    assert_eq!(guard.lease().reason(), LeaseReason::Miss);
    // On a busy machine it may be sent twice, and is stored once.
    assert!(guard.publish(Some("v".into())).await.unwrap().is_stored());
    let Leased::Value(got) = two.lease(&key, TTL).await.unwrap() else { panic!("a lease") };
    assert_eq!(text(got), "v");
}

#[tokio::test]
async fn go_to_the_next_when_they_are_dropped() {
    let (one, two) = (SERVICE.client(), SERVICE.client());
    let key = fresh_key();
    let guard = one.lease(&key, TTL).await.unwrap();
    let rebuild = |lease: dibs::Lease| async move {
        assert_eq!(lease.reason(), LeaseReason::HolderLost);
        value("v")
    };
    let waiting = tokio::spawn(two.get_or_rebuild(&key).ttl(TTL).with_lease(rebuild));
    tokio::task::yield_now().await;
    drop(guard);
    assert_eq!(text(soon(waiting).await.unwrap().unwrap()), "v");
}

#[tokio::test]
async fn go_to_the_next_also_when_they_are_dropped_outside_of_the_runtime() {
    let (one, two) = (SERVICE.client(), SERVICE.client());
    let key = fresh_key();
    let guard = one.lease(&key, TTL).await.unwrap();
    std::thread::spawn(move || drop(guard)).join().unwrap();
    let got = soon(two.get_or_rebuild(&key).ttl(TTL).with(|| async { value("v") })).await;
    assert_eq!(text(got.unwrap()), "v");
}

#[tokio::test]
async fn tell_the_waiters_of_a_failure() {
    let (one, two) = (SERVICE.client(), SERVICE.client());
    let key = fresh_key();
    let Leased::Lease(guard) = one.get_or_rebuild(&key).ttl(TTL).json::<u32>().lease().await.unwrap() else {
        panic!("a value")
    };
    guard.fail("no luck").await;
    let error = two.get_or_rebuild(&key).ttl(TTL).with(|| async { value("v") }).await.unwrap_err();
    assert_eq!(error.to_string(), "no luck");
}
