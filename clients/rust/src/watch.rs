//! Whether a session receives all changes.
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
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

    /// The welcome or a beat has come.
    pub fn heard(&self, now: Instant) {
        let ms = u64::try_from(now.duration_since(self.began).as_millis()).unwrap_or(u64::MAX - 1);
        self.heard.store(ms + 1, Ordering::Release);
    }

    /// It was welcomed, and its session was not left or broken.
    pub fn stands(&self) -> bool {
        self.heard.load(Ordering::Acquire) > 0
    }

    pub fn broke(&self) {
        self.heard.store(0, Ordering::Release);
    }

    pub fn is_live(&self, now: Instant) -> bool {
        let heard = self.heard.load(Ordering::Acquire);
        heard > 0 && now < self.began + Duration::from_millis(heard - 1) + SILENT_MAX
    }
}

/// The watch of a session. After a late beat it is another one, so that nothing from before that beat is served again.
pub(crate) struct Watching(Mutex<Arc<Watch>>);

impl Watching {
    pub fn new() -> Self {
        Self(Mutex::new(Watch::new()))
    }

    pub fn current(&self) -> Arc<Watch> {
        self.lock().clone()
    }

    /// The welcome has come. If it was due long ago, it is like a late beat.
    pub fn begin(&self, missed: impl FnOnce()) {
        let (watch, now) = (self.current(), Instant::now());
        if now < watch.began + SILENT_MAX {
            watch.heard(now);
        } else {
            self.begin_again(now, missed);
        }
    }

    /// A beat has come. If one was due long ago, this process was held up, and changes that were sent before this beat
    /// may be read after it. Then this calls `missed` before the session counts as live again.
    pub fn beat(&self, missed: impl FnOnce()) {
        let (watch, now) = (self.current(), Instant::now());
        if watch.is_live(now) {
            watch.heard(now);
        } else if watch.stands() {
            self.begin_again(now, missed);
        }
    }

    fn begin_again(&self, now: Instant, missed: impl FnOnce()) {
        missed();
        let next = Watch::new();
        next.heard(now);
        *self.lock() = next;
    }

    /// The session was left, or it broke. No later beat revives it.
    pub fn end(&self) {
        self.lock().broke();
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Watch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn is_live(watching: &Watching) -> bool {
        watching.current().is_live(Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn is_live_for_three_seconds_after_the_welcome_and_each_beat() {
        let watching = Watching::new();
        let on_time = || panic!("the beat is on time");
        watching.beat(on_time);
        assert!(!is_live(&watching), "it was not welcomed");
        watching.begin(on_time);
        advance(SILENT_MAX - MS).await;
        assert!(is_live(&watching));
        watching.beat(on_time);
        advance(SILENT_MAX - MS).await;
        assert!(is_live(&watching));
        advance(MS).await;
        assert!(!is_live(&watching));
        watching.beat(|| {});
        assert!(is_live(&watching));
        watching.end();
        watching.beat(on_time);
        assert!(!is_live(&watching), "nothing revives it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_beat_revives_nothing_from_before_it() {
        let watching = Watching::new();
        watching.begin(|| panic!("the welcome is on time"));
        let before = watching.current();
        advance(SILENT_MAX).await;
        let mut was_live = None;
        watching.beat(|| was_live = Some(is_live(&watching)));
        assert_eq!(was_live, Some(false), "what was missed is dropped first");
        assert!(is_live(&watching));
        assert!(!before.is_live(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_welcome_is_like_a_late_beat() {
        for (after, is_late) in [(SILENT_MAX - MS, false), (SILENT_MAX, true)] {
            let watching = Watching::new();
            let before = watching.current();
            advance(after).await;
            let mut missed = false;
            watching.begin(|| missed = true);
            assert_eq!((missed, before.is_live(Instant::now())), (is_late, !is_late));
            assert!(is_live(&watching));
        }
    }
}
