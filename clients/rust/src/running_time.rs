//! Time in which this process really ran.
use std::time::Duration;

use tokio::time::sleep;

const SLICE: Duration = Duration::from_millis(50);

/// Ends when the runtime has run for this long. If it was blocked, or the machine was suspended, unread answers are not
/// late yet.
pub(crate) async fn ran_for(time: Duration) {
    let mut left = time;
    while !left.is_zero() {
        let slice = left.min(SLICE);
        sleep(slice).await;
        left -= slice;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, advance};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_block_counts_as_one_slice() {
        let began = Instant::now();
        let ran = tokio::spawn(ran_for(Duration::from_secs(1)));
        tokio::task::yield_now().await;
        advance(Duration::from_secs(10)).await;
        ran.await.unwrap();
        assert!((10_900..11_100).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    }
}
