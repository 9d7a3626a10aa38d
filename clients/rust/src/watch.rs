//! Whether a session receives all changes.
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// A session that is silent for longer may have missed a change.
const SILENT_MAX: Duration = Duration::from_secs(3);

/// Whether one session still receives all changes.
pub(crate) struct Watch {
    began: Instant,
    /// When it was last heard, in milliseconds since it began, plus one. 0: not welcomed yet, or broken.
    heard: AtomicU64,
}

impl Watch {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), heard: AtomicU64::new(0) })
    }

    /// The welcome has come.
    pub fn heard(&self) {
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.heard.store(ms + 1, Ordering::Release);
    }

    /// A beat that comes after the session was left revives nothing.
    pub fn beat(&self) {
        if self.heard.load(Ordering::Acquire) > 0 {
            self.heard();
        }
    }

    pub fn broke(&self) {
        self.heard.store(0, Ordering::Release);
    }

    pub fn is_live(&self, now: Instant) -> bool {
        let heard = self.heard.load(Ordering::Acquire);
        heard > 0 && now < self.began + Duration::from_millis(heard - 1) + SILENT_MAX
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn is_live_for_three_seconds_after_the_welcome_and_each_beat() {
        let watch = Watch::new();
        let is_live = || watch.is_live(Instant::now());
        watch.beat();
        assert!(!is_live(), "it was not welcomed");
        watch.heard();
        advance(SILENT_MAX - Duration::from_millis(1)).await;
        assert!(is_live());
        watch.beat();
        advance(SILENT_MAX - Duration::from_millis(1)).await;
        assert!(is_live());
        advance(Duration::from_millis(1)).await;
        assert!(!is_live());
        watch.beat();
        assert!(is_live());
        watch.broke();
        watch.beat();
        assert!(!is_live(), "nothing revives it");
    }
}
