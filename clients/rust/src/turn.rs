//! The end of a turn of the runtime.
use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// Wakes the flight when the runtime has polled everything once.
#[derive(Default)]
struct Turn {
    is_over: AtomicBool,
    waiting: AtomicWaker,
}

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        self.is_over.store(true, Ordering::Release);
        self.waiting.wake();
    }
}

/// Ends when the runtime has polled everything that is ready now. Unlike `yield_now`, it also works if several tasks
/// poll it: the second one must not end the turn for the others.
pub(crate) async fn end_of_turn() {
    let turn = Arc::new(Turn::default());
    let waker = Waker::from(turn.clone());
    let mut yielding = pin!(tokio::task::yield_now());
    let mut begun = false;
    poll_fn(|context| {
        turn.waiting.register(context.waker());
        if !begun {
            begun = true;
            // The runtime wakes it at the end of the turn.
            if yielding.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                return Poll::Ready(());
            }
        }
        if turn.is_over.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
