//! What callers get, over sessions and over single calls.
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use dibs::{BusyReason, Client, Code, Error, LeaseReason, Previous, Read, Revalidate, Stale};
use serde::{Deserialize, Serialize};

use crate::support::{SOON, TTL, call_error, fresh_key, ms, service::SERVICE, text, until, value};

/// Two processes, as far as the service can tell, each by sessions and by single calls.
fn pairs() -> [(Client, Client); 2] {
    [true, false].map(|session| {
        let client = || SERVICE.client_with(Client::builder().session(session));
        (client(), client())
    })
}

#[tokio::test]
async fn one_rebuilds_and_the_others_have_its_result() {
    for (one, two) in pairs() {
        let key = fresh_key();
        assert_eq!(text(one.get_or_rebuild(&key).ttl(TTL).with(|| async { value("one") }).await.unwrap()), "one");
        assert_eq!(text(two.get_or_rebuild(&key).ttl(TTL).with(|| async { value("two") }).await.unwrap()), "one");
    }
}

#[tokio::test]
async fn nothing_and_an_empty_value_are_different_and_both_are_kept() {
    for (one, two) in pairs() {
        let (absent, empty) = (fresh_key(), fresh_key());
        assert_eq!(one.get_or_rebuild(&absent).ttl(TTL).with(|| async { Ok(None) }).await.unwrap(), None);
        assert_eq!(two.get_or_rebuild(&absent).ttl(TTL).with(|| async { value("two") }).await.unwrap(), None);
        assert_eq!(text(one.get_or_rebuild(&empty).ttl(TTL).with(|| async { value("") }).await.unwrap()), "");
        assert_eq!(text(two.get_or_rebuild(&empty).ttl(TTL).with(|| async { value("two") }).await.unwrap()), "");
    }
}

#[tokio::test]
async fn absent_has_a_ttl_of_its_own() {
    let (one, _) = &pairs()[0];
    let key = fresh_key();
    let asking = || one.get_or_rebuild(&key).ttl(TTL).absent_ttl(ms(1));
    assert_eq!(asking().with(|| async { Ok(None) }).await.unwrap(), None);
    tokio::time::sleep(ms(20)).await;
    assert_eq!(text(asking().with(|| async { value("now") }).await.unwrap()), "now");
}

#[tokio::test]
async fn a_failure_is_its_callers_own_and_a_message_for_the_others() {
    #[derive(Debug)]
    struct Away;
    impl std::fmt::Display for Away {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("the database is away")
        }
    }
    impl std::error::Error for Away {}

    for (one, two) in pairs() {
        let key = fresh_key();
        let fails = || async { Err(dibs::RebuildError::from(Away).retry_after(Duration::from_secs(200))) };
        match one.get_or_rebuild(&key).ttl(TTL).with(fails).await {
            Err(Error::Rebuild(error)) => assert!(error.downcast_ref::<Away>().is_some()),
            other => panic!("{other:?}"),
        }
        match two.get_or_rebuild(&key).ttl(TTL).with(|| async { value("two") }).await {
            Err(Error::RebuildFailed { message, retry_after }) => {
                assert_eq!(message, "the database is away");
                assert!(retry_after > Duration::from_secs(100), "{retry_after:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_panic_is_a_failure() {
    let (one, two) = &pairs()[0];
    let key = fresh_key();
    let panics = || async { panic!("as a test has it") };
    assert!(matches!(one.get_or_rebuild(&key).ttl(TTL).with(panics).await, Err(Error::Rebuild(_))));
    let told = two.get_or_rebuild(&key).ttl(TTL).with(|| async { value("two") }).await.unwrap_err();
    assert_eq!(told.to_string(), "the rebuild panicked: as a test has it");
}

#[tokio::test]
async fn a_wait_that_ends_says_when_to_come_back() {
    for (one, two) in pairs() {
        let key = fresh_key();
        let lease = one.lease(&key, TTL).await.unwrap();
        // Within such a short wait, a busy machine may not even connect.
        assert!(two.ready(SOON).await);
        for wait in [Duration::ZERO, ms(30)] {
            match two.get_or_rebuild(&key).ttl(TTL).wait(wait).with(|| async { value("two") }).await {
                Err(error @ Error::Busy { reason: BusyReason::WaitEnded, retry_after, .. }) => {
                    let ms = retry_after.as_millis();
                    assert!(ms > 0);
                    let told = format!("no answer within the wait (wait_ended); retry in {ms} ms");
                    assert_eq!(error.to_string(), told);
                }
                other => panic!("{other:?}"),
            }
        }
        drop(lease);
    }
}

#[tokio::test]
async fn bad_input_names_the_field() {
    for (one, _) in pairs() {
        let error = call_error(one.get_or_rebuild("").ttl(TTL).with(|| async { value("") }).await.unwrap_err());
        assert_eq!((error.code, error.message.as_str()), (Code::InvalidArgument, "key: 0 bytes is outside 1 to 1024"));
        let asking = one.get_or_rebuild(fresh_key()).ttl(Duration::ZERO);
        let error = call_error(asking.with(|| async { value("") }).await.unwrap_err());
        assert!(error.message.starts_with("ttl_ms: 0 is outside"), "{error}");
    }
}

#[tokio::test]
async fn a_value_beyond_the_bound_is_its_callers_and_others_are_told() {
    for (one, two) in pairs() {
        let key = fresh_key();
        let big = || async { Ok(Some(Bytes::from(vec![0; 1_048_577]))) };
        assert_eq!(one.get_or_rebuild(&key).ttl(TTL).with(big).await.unwrap().unwrap().len(), 1_048_577);
        one.flush(TTL).await;
        let told = two.get_or_rebuild(&key).ttl(TTL).with(|| async { value("two") }).await;
        assert!(matches!(told, Err(Error::RebuildFailed { .. })), "{told:?}");
        let fits = || async { Ok(Some(Bytes::from(vec![7; 1_048_576]))) };
        assert_eq!(one.get_or_rebuild(fresh_key()).ttl(TTL).with(fits).await.unwrap().unwrap().len(), 1_048_576);
    }
}

#[tokio::test]
async fn a_stale_value_is_served_while_it_is_rebuilt_behind() {
    for (one, _) in pairs() {
        let key = fresh_key();
        let asking = |ttl| one.get_or_rebuild(&key).ttl(ttl).stale_ttl(TTL);
        asking(ms(1)).with(|| async { value("old") }).await.unwrap();
        tokio::time::sleep(ms(20)).await;
        let rebuilt = Arc::new(AtomicU32::new(0));
        let count = rebuilt.clone();
        let rebuild = move || {
            count.fetch_add(1, Ordering::SeqCst);
            async { value("new") }
        };
        assert_eq!(text(asking(TTL).with(rebuild).await.unwrap()), "old");
        until(|| rebuilt.load(Ordering::SeqCst) == 1).await;
        let reading = || asking(TTL).read(Read::Store).stale(Stale::Forbid);
        assert_eq!(text(reading().with(|| async { value("newer") }).await.unwrap()), "new");
    }
}

#[tokio::test]
async fn whoever_insists_waits_for_the_rebuild_and_it_is_told_the_value_before() {
    for (one, _) in pairs() {
        let key = fresh_key();
        let asking = || one.get_or_rebuild(&key).ttl(ms(1)).stale_ttl(TTL).revalidate(Revalidate::Await);
        asking().with(|| async { value("old") }).await.unwrap();
        tokio::time::sleep(ms(20)).await;
        let rebuild = |lease: dibs::Lease| async move {
            assert_eq!(lease.previous(), &Previous::Value("old".into()));
            assert_eq!(lease.reason(), LeaseReason::Expired);
            assert!(lease.fence() > 0);
            value("new")
        };
        assert_eq!(text(asking().with_lease(rebuild).await.unwrap()), "new");
    }
}

#[tokio::test]
async fn a_refresh_rebuilds_what_is_fresh() {
    for (one, _) in pairs() {
        let key = fresh_key();
        let asking = || one.get_or_rebuild(&key).ttl(TTL);
        asking().with(|| async { value("old") }).await.unwrap();
        assert_eq!(text(asking().refresh(true).with(|| async { value("new") }).await.unwrap()), "new");
    }
}

#[tokio::test]
async fn what_is_invalidated_is_rebuilt() {
    for (one, two) in pairs() {
        let (key, tag) = (fresh_key(), fresh_key());
        let read = async |text: &'static str| {
            let asking = one.get_or_rebuild(&key).ttl(TTL).stale_ttl(TTL).tags([&tag]).revalidate(Revalidate::Await);
            crate::support::text(asking.with(move || async move { value(text) }).await.unwrap())
        };
        assert_eq!(read("1").await, "1");
        let gone = two.invalidate().keys([&key]).now().await.unwrap();
        assert_eq!((gone.keys_invalidated, gone.leases_voided), (1, 0));
        assert_eq!(read("2").await, "2");
        two.invalidate().tags([&tag]).now().await.unwrap();
        assert_eq!(read("3").await, "3");
        two.invalidate().keys([&key]).mark_stale().now().await.unwrap();
        assert_eq!(read("4").await, "4");
        let error = call_error(two.invalidate().now().await.unwrap_err());
        assert_eq!(error.code, Code::InvalidArgument);
    }
}

#[tokio::test]
async fn a_namespace_is_invalidated_as_a_whole_and_no_other_is() {
    let one = SERVICE.client_with(Client::builder().namespace(fresh_key().replace(' ', "-")));
    let read = async |client: &Client, key: &str, text: &'static str| {
        crate::support::text(
            client.get_or_rebuild(key).ttl(TTL).with(move || async move { value(text) }).await.unwrap(),
        )
    };
    let (key, other) = (fresh_key(), SERVICE.client());
    assert_eq!((read(&one, &key, "1").await, read(&other, &key, "other").await), ("1".into(), "other".into()));
    one.invalidate().all().now().await.unwrap();
    assert_eq!((read(&one, &key, "2").await, read(&other, &key, "-").await), ("2".into(), "other".into()));
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct User {
    name: String,
}

#[tokio::test]
async fn json_goes_there_and_back() {
    let (one, two) = &pairs()[0];
    let key = fresh_key();
    let ada = || async { Ok(Some(User { name: "Ada".into() })) };
    let asked = one.get_or_rebuild(&key).ttl(TTL).json().with(ada).await.unwrap();
    assert_eq!(asked, Some(User { name: "Ada".into() }));
    let raw = two.get_or_rebuild(&key).ttl(TTL).with(|| async { value("") }).await.unwrap();
    assert_eq!(text(raw), r#"{"name":"Ada"}"#);
    let other = one.get_or_rebuild(&key).ttl(TTL).json::<u32>().with(|| async { Ok(Some(1)) }).await;
    assert_eq!(other.unwrap(), Some(1), "what cannot be read is a miss");
}

#[tokio::test]
async fn a_value_before_in_another_format_is_as_good_as_none() {
    let (one, _) = &pairs()[0];
    let key = fresh_key();
    one.get_or_rebuild(&key).ttl(TTL).with(|| async { value("<an older format>") }).await.unwrap();
    let rebuild = |lease: dibs::Lease<u32>| async move {
        assert_eq!(lease.previous(), &Previous::Unknown);
        Ok(Some(7))
    };
    let asking = one.get_or_rebuild(&key).ttl(TTL).json().refresh(true);
    assert_eq!(asking.with_lease(rebuild).await.unwrap(), Some(7));
}
