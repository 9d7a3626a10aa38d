//! Codecs that panic.
use std::error::Error as StdError;

use bytes::Bytes;
use dibs::{
    Client, Codec, Error, Lease, Leased, ManyError, Previous, Revalidate, testing,
    v1::{Freshness, LeaseReason},
};
use tokio::time::advance;

use crate::support::{
    TTL,
    answers::{hit, lease_beside, published_and_counts, released},
    fake::Fake,
    until,
};

/// Panics at the text `bad`, in both directions.
struct Touchy;

impl Codec for Touchy {
    type Value = String;

    fn encode(&self, value: String) -> Result<Bytes, Box<dyn StdError + Send + Sync>> {
        assert_ne!(value, "bad", "as a test has it");
        Ok(value.into())
    }

    fn decode(&self, bytes: Bytes) -> Result<String, Box<dyn StdError + Send + Sync>> {
        let value = String::from_utf8(bytes.to_vec())?;
        assert_ne!(value, "bad", "as a test has it");
        Ok(value)
    }
}

async fn with_bad_values() -> Client {
    let client = testing::client();
    for key in ["k", "l"] {
        client.set(key).ttl(TTL).stale_ttl(TTL).publish(Some("bad".into())).await.unwrap();
    }
    client
}

#[tokio::test(start_paused = true)]
async fn a_value_at_which_one_panics_is_rebuilt() {
    for is_stale in [false, true] {
        let client = with_bad_values().await;
        if is_stale {
            advance(TTL).await;
        }
        let rebuild = |lease: Lease<String>| async move {
            assert_eq!(lease.previous(), &Previous::Unknown);
            Ok(Some("good".to_owned()))
        };
        let got = client.get_or_rebuild("k").ttl(TTL).codec(Touchy).with_lease(rebuild).await;
        assert_eq!(got.unwrap().as_deref(), Some("good"));
    }
}

#[tokio::test(start_paused = true)]
async fn values_at_which_one_panics_are_rebuilt() {
    let client = with_bad_values().await;
    let asking = client.get_or_rebuild_many(["k", "l"]).ttl(TTL).codec(Touchy);
    let got = asking.with(|keys| async move { Ok(keys.into_iter().map(|key| (key.clone(), Some(key)))) }).await;
    assert_eq!(got.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_lease_in_the_users_hands_tells_no_value_at_which_one_panics() {
    let client = with_bad_values().await;
    let Leased::Lease(guard) = client.get_or_rebuild("k").ttl(TTL).codec(Touchy).lease().await.unwrap() else {
        panic!("a value")
    };
    assert_eq!(guard.lease().previous(), &Previous::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_result_at_which_one_panics_fails_its_own_key_only() {
    let asking = testing::client().get_or_rebuild_many(["k", "l"]).ttl(TTL).codec(Touchy);
    let rebuild =
        |_| async { Ok([("k".to_owned(), Some("good".to_owned())), ("l".to_owned(), Some("bad".to_owned()))]) };
    match asking.with(rebuild).await {
        Err(ManyError::Keys { errors, values }) => {
            assert!(matches!(&errors["l"], Error::Rebuild(error) if error.to_string().contains("as a test has it")));
            assert_eq!((errors.len(), values["k"].as_deref()), (1, Some("good")));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_that_cannot_be_read_is_no_better_than_the_error_of_the_rebuild() {
    let client = with_bad_values().await;
    advance(TTL).await;
    let asking = client.get_or_rebuild("k").ttl(TTL).codec(Touchy).revalidate(Revalidate::Await).stale_if_error(true);
    let got = asking.with(|| async { Err("no luck".into()) }).await;
    assert!(matches!(&got, Err(Error::Rebuild(error)) if error.to_string() == "no luck"), "{got:?}");
}

/// Otherwise each process of a fleet would rebuild it, one after another.
#[tokio::test]
async fn what_another_process_has_put_in_place_of_it_is_taken() {
    let fake = Fake::start().await;
    fake.will("get_or_lock", [hit("bad"), lease_beside(LeaseReason::Refresh, "theirs", Freshness::Fresh)]);
    fake.will("release", [released()]);
    let client = fake.client();
    let got = client.get_or_rebuild("k").ttl(TTL).codec(Touchy).with(|| async { panic!("it is not rebuilt") }).await;
    assert_eq!(got.unwrap().as_deref(), Some("theirs"));
    until(|| fake.released().len() == 1).await;
    assert_eq!((&fake.released()[0].failure, fake.published().len()), (&None, 0));
}

#[tokio::test]
async fn what_no_process_has_replaced_is_rebuilt() {
    for (previous, freshness) in [("bad", Freshness::Fresh), ("theirs", Freshness::Stale)] {
        let fake = Fake::start().await;
        fake.will("get_or_lock", [hit("bad"), lease_beside(LeaseReason::Refresh, previous, freshness)]);
        fake.will("publish", [published_and_counts()]);
        let client = fake.client();
        let rebuild = || async { Ok(Some("mine".to_owned())) };
        let got = client.get_or_rebuild("k").ttl(TTL).codec(Touchy).with(rebuild).await;
        assert_eq!(got.unwrap().as_deref(), Some("mine"));
    }
}
