//! Extends a lease while its rebuild runs.
use std::{future::Future, time::Duration};

use tokio::time::{Instant, sleep, timeout};
use tonic::Code;

use crate::{
    error::CallError,
    options::duration,
    v1::{ExtendOutcome, ExtendResponse},
};

const THIRD_MIN: Duration = Duration::from_millis(5);
/// What an extension may take if the lease leaves it the time. A hanging attempt must not cost the next ones.
const EXTEND: Duration = Duration::from_secs(2);

/// Extends a lease every third of the remaining time, so two extensions in a row may be lost. Ends when the lease is
/// over: the service says so, or no extension came in time. `extend` gets the time that it may take.
///
/// The lease counts from `sent_at`, when its request was sent, because its answer may have waited for this process to
/// read it. The service may also have granted it late, after a wait. So if its first extension is overdue by this count,
/// it is extended at once, and the answer decides.
pub(crate) async fn keep<F>(sent_at: Instant, expires_in: Duration, extend: impl Fn(Duration) -> F)
where
    F: Future<Output = Result<ExtendResponse, CallError>>,
{
    let came_at = Instant::now();
    let mut ends_at = sent_at + expires_in;
    let left = ends_at.saturating_duration_since(came_at);
    let mut pause = third_of(left);
    if left < expires_in / 3 {
        pause = THIRD_MIN;
        ends_at = ends_at.max(came_at + expires_in.min(EXTEND));
    }
    loop {
        sleep(pause.min(ends_at.saturating_duration_since(Instant::now()))).await;
        let asked_at = Instant::now();
        let left = ends_at.saturating_duration_since(asked_at);
        if left.is_zero() {
            return;
        }
        // A hanging attempt ends with the lease, so the loss is reported then and not later.
        let within = EXTEND.min(left);
        match timeout(within, extend(within)).await {
            Ok(Ok(extended)) => match extended.outcome() {
                ExtendOutcome::Extended => ends_at = asked_at + duration(extended.expires_in_ms),
                ExtendOutcome::Lost => return,
                ExtendOutcome::Unspecified => {}
            },
            Ok(Err(error)) if error.code == Code::InvalidArgument => return,
            // No answer is not a loss: the lease keeps its end, and the next third brings another attempt.
            Ok(Err(_)) | Err(_) => {}
        }
        pause = third_of(ends_at.saturating_duration_since(Instant::now()));
    }
}

/// A third of a few milliseconds is too short. The end is near then, and is reported when it comes.
fn third_of(left: Duration) -> Duration {
    THIRD_MIN.max(left / 3)
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending};

    use tokio::time::advance;

    use super::*;

    const LEASE: Duration = Duration::from_secs(9);

    fn extended(ms: i64) -> Result<ExtendResponse, CallError> {
        Ok(ExtendResponse { outcome: ExtendOutcome::Extended.into(), expires_in_ms: ms })
    }

    fn lost() -> Result<ExtendResponse, CallError> {
        Ok(ExtendResponse { outcome: ExtendOutcome::Lost.into(), expires_in_ms: 0 })
    }

    /// How long a lease of 9 s is kept where the `n`th try, from 0 on, is answered so.
    async fn kept(answer: impl Fn(u32) -> Result<ExtendResponse, CallError>) -> Duration {
        let (began, tries) = (Instant::now(), Cell::new(0));
        let extend = |_| {
            tries.set(tries.get() + 1);
            std::future::ready(answer(tries.get() - 1))
        };
        keep(Instant::now(), LEASE, extend).await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn extends_every_third_until_it_is_lost() {
        let kept = kept(|n| if n < 3 { extended(9_000) } else { lost() }).await;
        assert_eq!(kept.as_secs(), 4 * 3);
    }

    #[tokio::test(start_paused = true)]
    async fn not_answered_is_not_lost_before_the_end() {
        let unavailable = || Err(CallError::new(Code::Unavailable, "gone"));
        assert_eq!(kept(|_| unavailable()).await.as_secs(), 9);
        let refused = || Err(CallError::new(Code::InvalidArgument, "lease_ms: 1 is outside"));
        assert_eq!(kept(|_| refused()).await.as_secs(), 3);
        let unknown = || Ok(ExtendResponse { outcome: 99, expires_in_ms: 0 });
        assert_eq!(kept(|_| unknown()).await.as_secs(), 9);
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_that_hangs_costs_neither_the_next_nor_the_end() {
        let (began, given) = (Instant::now(), Cell::new(Duration::ZERO));
        let hangs = |time| {
            given.set(time);
            pending::<Result<ExtendResponse, CallError>>()
        };
        keep(Instant::now(), LEASE, hangs).await;
        assert_eq!(began.elapsed().as_secs(), 9);
        assert!(given.get() < EXTEND, "the last try is given what is left");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_without_time_is_lost_at_once() {
        keep(Instant::now(), Duration::ZERO, |_| std::future::ready(extended(9_000))).await;
    }

    /// How long a lease of 9 s is kept whose answer came this long after its request, and when it is first extended.
    async fn kept_after(delay: Duration, answer: fn() -> Result<ExtendResponse, CallError>) -> (Duration, Duration) {
        let (sent_at, first) = (Instant::now(), Cell::new(None));
        advance(delay).await;
        let extend = |_| {
            first.set(first.get().or(Some(sent_at.elapsed())));
            std::future::ready(answer())
        };
        keep(sent_at, LEASE, extend).await;
        (sent_at.elapsed(), first.get().expect("an extension"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_counts_from_its_request() {
        let unavailable = || Err(CallError::new(Code::Unavailable, "gone"));
        let (kept, first) = kept_after(Duration::from_secs(6), unavailable).await;
        assert_eq!((kept.as_secs(), first.as_secs()), (9, 7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_seems_over_is_extended_at_once() {
        for delay in [8_990, 9_000, 30_000].map(Duration::from_millis) {
            let (kept, first) = kept_after(delay, lost).await;
            assert!(first < delay + Duration::from_millis(10), "{first:?} after {delay:?}");
            assert_eq!(kept, first, "the service says whether it is over");
            // It may not be over, and gets the time of one extension.
            let (kept, _) = kept_after(delay, || Err(CallError::new(Code::Unavailable, "gone"))).await;
            assert_eq!((kept - delay).as_secs(), EXTEND.as_secs());
        }
    }
}
