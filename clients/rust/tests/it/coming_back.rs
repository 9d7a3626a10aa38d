//! Waits and refusals, and when the client comes back.
use std::time::{Duration, Instant};

use dibs::{BusyReason, Code, Error, v1};

use crate::support::{
    Frozen, TTL,
    answers::{busy, hit, refuse, unavailable, unknown_outcome},
    call_error,
    fake::{Answer, Fake},
    ms, text, value,
};

async fn asked_of(answers: impl IntoIterator<Item = Answer>, wait: Duration) -> (Fake, Result<String, Error>) {
    let fake = Fake::start().await;
    fake.will("get_or_lock", answers);
    let asking = fake.client().get_or_rebuild("k").ttl(TTL).wait(wait);
    let value = asking.with(|| async { value("mine") }).await;
    (fake, value.map(text))
}

const WAIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_wait_is_asked_for_again_as_one_call_as_long_as_there_is_time() {
    let full = refuse(Code::ResourceExhausted, "full", Some(1));
    let pushed = refuse(Code::Unavailable, "later", Some(1));
    let answers = [busy(1, v1::BusyReason::WaitEnded), full, pushed, unknown_outcome(), hit("v")];
    let (fake, value) = asked_of(answers, WAIT).await;
    assert_eq!(value.unwrap(), "v");
    let asked = fake.asked();
    assert_eq!(asked.len(), 5);
    assert!(asked.iter().all(|request| request.request_id == asked[0].request_id && !request.request_id.is_empty()));
    assert!(asked.is_sorted_by_key(|request| std::cmp::Reverse(request.wait_ms)));
    assert!(asked[0].holder.ends_with(&format!("/{}", std::process::id())), "{}", asked[0].holder);
}

#[tokio::test]
async fn a_wait_does_not_outlast_the_time_to_come_back() {
    let (fake, error) = asked_of([busy(5_000, v1::BusyReason::Budget)], ms(1_000)).await;
    match error {
        Err(Error::Busy { reason, retry_after, holder_age }) => {
            assert_eq!((reason, retry_after, holder_age), (BusyReason::Budget, ms(5_000), ms(7)));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn a_wait_that_cannot_succeed_ends_at_once() {
    for reason in [v1::BusyReason::DeadlineTooShort, v1::BusyReason::NoValue] {
        let (fake, error) = asked_of([busy(1, reason)], WAIT).await;
        assert!(matches!(error, Err(Error::Busy { reason: why, .. }) if why == reason));
        assert_eq!(fake.asked().len(), 1);
    }
}

#[tokio::test]
async fn an_outcome_of_a_later_service_counts_as_busy() {
    let (_, error) = asked_of([unknown_outcome()], Duration::ZERO).await;
    assert!(matches!(error, Err(Error::Busy { reason: BusyReason::Unspecified, .. })), "{error:?}");
}

#[tokio::test]
async fn a_refusal_without_a_time_to_come_back_is_an_error_at_once() {
    let (fake, error) = asked_of([refuse(Code::PermissionDenied, "not you", None)], WAIT).await;
    let error = call_error(error.unwrap_err());
    assert_eq!((error.code, error.message.as_str(), error.retry_after), (Code::PermissionDenied, "not you", None));
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn nobody_rebuilds_against_the_word_of_a_service_that_says_when_to_come_back() {
    let (_, error) = asked_of([refuse(Code::Unavailable, "later", Some(60_000))], WAIT).await;
    let error = call_error(error.unwrap_err());
    assert_eq!((error.code, error.retry_after), (Code::Unavailable, Some(Duration::from_secs(60))));
}

#[tokio::test]
async fn a_service_that_breaks_off_is_asked_once_more_as_the_same_call() {
    let (fake, value) = asked_of([unavailable(), hit("v")], WAIT).await;
    assert_eq!(value.unwrap(), "v");
    let asked = fake.asked();
    assert_eq!(asked[0].request_id, asked[1].request_id);
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_done_without_after_the_wait_and_its_way() {
    let began = Instant::now();
    let (fake, value) = asked_of([Answer::Never], Duration::ZERO).await;
    assert_eq!(value.unwrap(), "mine");
    // The usual wait is 30 s.
    assert!((ms(1_900)..ms(20_000)).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn the_deadline_goes_along_with_each_call() {
    let _frozen = Frozen::begin();
    let (fake, _) = asked_of([hit("v")], ms(3_000)).await;
    let heard = fake.heard();
    let deadline = heard[0].metadata.get("grpc-timeout").unwrap().to_str().unwrap();
    let us: u64 = deadline.trim_end_matches('u').parse().unwrap();
    assert!((5_000_000..=5_100_000).contains(&us), "{deadline}");
}
