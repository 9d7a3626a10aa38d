//! Waits that are longer than the service allows.
use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use crate::{
    error::CallError,
    options::WAIT,
    v1::{Busy, BusyReason},
};

/// The latest deadline that is sent to the service.
const DEADLINE_MAX: Duration = Duration::from_secs(3_600);

/// A service that ends a wait sooner did not wait, and must not be asked in a tight loop.
const PIECE_MIN: Duration = Duration::from_millis(10);

/// Asks for a long wait in pieces. The service bounds `wait_ms`, by default to 30 s.
#[derive(Default)]
pub(crate) struct WaitPieces {
    /// The service's bound, once it has refused a longer wait.
    wait_max: Option<Duration>,
    /// The last request asked for a part only.
    is_part: bool,
}

/// The wait of one request.
pub(crate) struct Piece {
    /// None: as long as the deadline and the service allow.
    pub wait: Option<Duration>,
    /// How long the wait may take here, without the way of the answer.
    pub deadline: Duration,
}

impl WaitPieces {
    /// The next piece of the remaining time. `named`: the caller has set its wait.
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

    /// The service has refused the wait, so the next piece is shorter.
    pub fn learn(&mut self, error: &CallError) -> bool {
        if error.code != Code::InvalidArgument || !error.message.starts_with("wait_ms:") || self.wait_max.is_some() {
            return false;
        }
        let max = error.message.rsplit(' ').next().and_then(|word| word.parse().ok());
        self.wait_max = Some(max.map_or(Duration::ZERO, Duration::from_millis));
        true
    }

    /// The last request asked for a part of the wait only.
    pub fn is_part(&self) -> bool {
        self.is_part
    }

    /// The piece has ended, and the caller's wait has not.
    pub fn goes_on(&self, busy: &Busy, waited: Duration, until: Instant) -> bool {
        self.is_part && waited >= PIECE_MIN && busy.reason() == BusyReason::WaitEnded && Instant::now() < until
    }
}
