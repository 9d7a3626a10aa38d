//! One caller's place in a flight, with its own wait.
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::{
    error::Error,
    flights::{Landed, Landing, Outcome},
    v1::BusyReason,
};

/// When a caller whose wait has ended here may retry: like the service's answer, spread over time.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// With less time left, asking again makes no sense.
const LEFT_MIN: Duration = Duration::from_millis(10);

/// One caller's place in a flight, with its own wait.
pub(crate) struct Seat {
    landing: Landing,
    came: Came,
}

enum Came {
    /// The flight belongs to this caller, and so do its bounds.
    First,
    /// Joined before a rebuild, if there is one. `begun` ends when one begins.
    Joined { begun: CancellationToken, its_until: Instant },
    /// Joined during the rebuild.
    Late { since: Instant },
}

/// What a caller does when its flight has landed.
pub(crate) enum Next {
    Return(Outcome),
    /// While there is time; else this error.
    AskAgain(Error),
}

impl Seat {
    pub fn own(landing: Landing) -> Self {
        Self { landing, came: Came::First }
    }

    pub fn joined(landing: Landing, begun: CancellationToken, its_until: Instant) -> Self {
        Self { landing, came: Came::Joined { begun, its_until } }
    }

    pub fn late(landing: Landing, since: Instant) -> Self {
        Self { landing, came: Came::Late { since } }
    }

    /// It gets another caller's result.
    pub fn is_joined(&self) -> bool {
        !matches!(self.came, Came::First)
    }

    /// It waits for another caller's rebuild.
    pub fn is_late(&self) -> bool {
        matches!(self.came, Came::Late { .. })
    }

    pub async fn landed(self, until: Instant) -> Next {
        let Self { landing, came } = self;
        match came {
            Came::First => of_member(landing.await),
            Came::Joined { begun, its_until } => tokio::select! {
                biased;
                landed = landing => of_joined(landed, until).await,
                age = own_end(&begun, its_until, until) => Next::Return(Err(busy(age))),
            },
            Came::Late { since } => match timeout_at(until, landing).await {
                Ok(Landed::Ended { outcome, for_latecomers: true }) => Next::Return(outcome),
                Ok(_) => Next::AskAgain(busy(since.elapsed())),
                Err(_) => Next::Return(Err(busy(since.elapsed()))),
            },
        }
    }
}

/// When a caller that joined waits no longer; returns how long a rebuild of this process has run.
async fn own_end(begun: &CancellationToken, its_until: Instant, until: Instant) -> Duration {
    // The service ends the wait of the request that was sent. It does not end that of a later caller, nor the wait for a
    // rebuild of this process.
    if its_until <= until {
        begun.cancelled().await;
    } else if timeout_at(until, begun.cancelled()).await.is_err() {
        return Duration::ZERO;
    }
    let since = Instant::now();
    sleep_until(until).await;
    since.elapsed()
}

fn of_member(landed: Landed) -> Next {
    match landed {
        Landed::Ended { outcome, .. } => Next::Return(outcome),
        Landed::LeaseLost(Some(error)) => Next::AskAgain(Error::Rebuild(error)),
        Landed::LeaseLost(None) => Next::AskAgain(busy(Duration::ZERO)),
    }
}

/// The first caller's time was too short. One that came later may have time left, and pauses as the service asked.
async fn of_joined(landed: Landed, until: Instant) -> Next {
    let Landed::Ended { outcome: Err(error), .. } = landed else { return of_member(landed) };
    let Some(pause) = pause_after(&error) else { return Next::Return(Err(error)) };
    if pause >= until.saturating_duration_since(Instant::now()) {
        return Next::Return(Err(error));
    }
    sleep(pause).await;
    Next::AskAgain(error)
}

/// None: the error is for all callers.
fn pause_after(error: &Error) -> Option<Duration> {
    match error {
        Error::Busy { reason: BusyReason::NoValue, .. } => None,
        Error::Busy { reason: BusyReason::WaitEnded, .. } => Some(Duration::ZERO),
        Error::Busy { retry_after, .. } => Some(*retry_after),
        Error::Call(error) => error.retry_after,
        _ => None,
    }
}

/// There is time to ask again.
pub(crate) fn has_time(until: Instant) -> bool {
    until.saturating_duration_since(Instant::now()) >= LEFT_MIN
}

/// The wait ended here, in this process.
pub(crate) fn busy(holder_age: Duration) -> Error {
    let retry_after = RETRY_AFTER.mul_f64(0.5 + fastrand::f64());
    Error::Busy { reason: BusyReason::WaitEnded, retry_after, holder_age }
}

#[cfg(test)]
mod joined_waits;
