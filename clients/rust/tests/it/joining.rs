//! Equal calls of one process become one.
use std::time::Duration;

use dibs::Read;
use futures_util::future::join_all;

use crate::support::{
    TTL,
    answers::{hit, lease, published, released},
    fake::{Answer, Fake},
    soon, text, until, value,
};

#[tokio::test]
async fn those_who_come_while_one_is_under_way_share_its_result() {
    let fake = Fake::start().await;
    fake.will("get_or_lock", [lease()]);
    fake.will("publish", [published(dibs::v1::PublishOutcome::Stored)]);
    let client = fake.client();
    let call = || client.get_or_rebuild("k").ttl(TTL).with(|| async { value("v") });
    let values = join_all((0..50).map(|_| call())).await;
    assert!(values.into_iter().all(|value| text(value.unwrap()) == "v"));
    assert_eq!((fake.asked().len(), fake.published().len()), (1, 1));
    call().await.unwrap();
    assert_eq!(fake.asked().len(), 2, "one that has ended is not joined");
}

#[tokio::test]
async fn other_keys_and_those_who_want_what_is_newer_are_not_joined() {
    let fake = Fake::start().await;
    fake.will("get_or_lock", [hit("v")]);
    let client = fake.client();
    let call = |key: &str| client.get_or_rebuild(key).ttl(TTL);
    let rebuild = || async { value("") };
    let (a, b, c, d, e) = tokio::join!(
        call("a").with(rebuild),
        call("b").with(rebuild),
        call("a").read(Read::Store).with(rebuild),
        call("a").refresh(true).with(rebuild),
        call("a").namespace("n").with(rebuild),
    );
    assert!([a, b, c, d, e].into_iter().all(|value| value.is_ok()));
    assert_eq!(fake.asked().len(), 5);
}

#[tokio::test]
async fn each_leaves_by_itself_and_the_last_takes_the_call_along() {
    let fake = Fake::start().await;
    fake.will("get_or_lock", [Answer::Never]);
    let client = fake.client();
    let call = || tokio::spawn(client.get_or_rebuild("k").ttl(TTL).with(|| async { value("v") }));
    let (one, two) = (call(), call());
    until(|| fake.heard().len() == 1).await;
    one.abort();
    assert!(one.await.unwrap_err().is_cancelled());
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!fake.heard()[0].is_left());
    two.abort();
    until(|| fake.heard()[0].is_left()).await;
    fake.will("get_or_lock", [hit("v")]);
    assert_eq!(text(soon(call()).await.unwrap().unwrap()), "v", "a later caller begins anew");
}

#[tokio::test]
async fn a_caller_that_is_not_polled_holds_up_nobody() {
    let fake = Fake::start().await;
    fake.will("get_or_lock", [lease()]);
    fake.will("publish", [published(dibs::v1::PublishOutcome::Stored)]);
    fake.will("release", [released()]);
    let client = fake.client();
    let mut first = Box::pin(client.get_or_rebuild("k").ttl(TTL).with(|| async { value("v") }));
    assert!(futures_util::poll!(&mut first).is_pending());
    let second = client.get_or_rebuild("k").ttl(TTL).with(|| async { value("v") });
    assert_eq!(text(soon(second).await.unwrap()), "v");
    drop(first);
}
