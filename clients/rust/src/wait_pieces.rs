//! A wait that is longer than the service waits.
use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use crate::{
    error::CallError,
    options::WAIT,
    v1::{Busy, BusyReason},
};

/// No deadline that is told to the service is later.
const DEADLINE_MAX: Duration = Duration::from_secs(3_600);

/// A service that ends a wait sooner did not wait, and is not to be asked in a circle.
const PIECE_MIN: Duration = Duration::from_millis(10);

/// Asks for a long wait in pieces: the service bounds `wait_ms`, by default to 30 s.
#[derive(Default)]
pub(crate) struct WaitPieces {
    /// The service's bound, once it has refused more.
    wait_max: Option<Duration>,
    /// What was asked for last was not the whole.
    is_part: bool,
}

/// What one request asks for.
pub(crate) struct Piece {
    /// None: as long as the deadline and the service allow.
    pub wait: Option<Duration>,
    /// How long the wait may take here, before the way of the answer.
    pub deadline: Duration,
}

impl WaitPieces {
    /// The next piece of what is left; `named`: the caller has named its wait.
    pub fn next(&mut self, left: Duration, named: bool) -> Piece {
        let wait_max = self.wait_max.unwrap_or(WAIT);
        self.is_part = left > wait_max || self.wait_max.is_some() && !named;
        let wait = match self.wait_max {
            Some(Duration::ZERO) => None,
            Some(max) if left > max => Some(max),
            _ if left > WAIT || !named => None,
            _ => Some(left),
        };
        Piece { wait, deadline: wait.unwrap_or(left).min(DEADLINE_MAX) }
    }

    /// The service has refused the wait: the next piece is shorter.
    pub fn learn(&mut self, error: &CallError) -> bool {
        if error.code != Code::InvalidArgument || !error.message.starts_with("wait_ms:") || self.wait_max.is_some() {
            return false;
        }
        let max = error.message.rsplit(' ').next().and_then(|word| word.parse().ok());
        self.wait_max = Some(max.map_or(Duration::ZERO, Duration::from_millis));
        true
    }

    /// The piece has ended, and the caller's wait has not.
    pub fn goes_on(&self, busy: &Busy, waited: Duration, until: Instant) -> bool {
        self.is_part && waited >= PIECE_MIN && busy.reason() == BusyReason::WaitEnded && Instant::now() < until
    }
}
