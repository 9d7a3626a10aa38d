//! One stream of a session, with its open calls.
use std::{
    collections::VecDeque,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::Stream;
use prost::Message;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};
use tonic::Code;

use crate::{
    error::CallError,
    open_calls::{Answer, Asked, Ended, OpenCalls},
    options::ms,
    transport::{Each, Request, Response, Terms},
    v1,
    watch::Watch,
};

/// The contract's bound for a message, unless it carries a single call.
const MESSAGE_BYTES_MAX: usize = 1_048_576;
/// The tag and the length before each call in a message.
const CALL_OVERHEAD_BYTES: usize = 8;
/// How many letters are taken from the queue at once.
const TAKEN_MAX: usize = 4_096;

/// One stream, with its open calls. It ends when nothing holds this any more.
pub(crate) struct Line {
    open: Arc<OpenCalls>,
    outbox: mpsc::UnboundedSender<Letter>,
}

/// Something to send.
pub(crate) enum Letter {
    Call(v1::SessionCall),
    Cancel(i64),
}

impl Line {
    /// The line, and the sender for its stream.
    pub fn new(hello: v1::SessionHello) -> (Arc<Self>, Outgoing) {
        let (outbox, letters) = mpsc::unbounded_channel();
        let outgoing = Outgoing {
            hello: Some(hello),
            letters,
            taken: Vec::new(),
            calls: VecDeque::new(),
            cancelled_ids: Vec::new(),
        };
        (Arc::new(Self { open: OpenCalls::new(&outbox), outbox }), outgoing)
    }

    pub fn open_calls(&self) -> Arc<OpenCalls> {
        self.open.clone()
    }

    pub fn watch(&self) -> Arc<Watch> {
        self.open.watching.current()
    }

    pub fn has(&self, open: &Arc<OpenCalls>) -> bool {
        Arc::ptr_eq(&self.open, open)
    }

    pub fn is_confirmed(&self) -> bool {
        self.open.is_confirmed()
    }

    /// Waits until the stream is welcomed or has ended.
    pub async fn is_welcomed(&self) -> bool {
        self.open.told.cancelled().await;
        self.open.is_confirmed()
    }

    /// Dropping the future cancels the call.
    pub async fn ask(line: Arc<Self>, request: Request, terms: &Terms) -> Result<Response, Ended> {
        let (id, answered) = line.open.add()?;
        let asked = Asked::of(&request);
        let left = line.send(id, request, terms);
        let mut waiting = Waiting { id, line, asked, answered };
        match timeout_at(terms.deadline, &mut waiting.answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(closed()),
            Err(_) => Err(late(left)),
        }
    }

    /// Calls `each` with each answer as it comes. Dropping the future cancels the call.
    pub async fn ask_many(
        line: Arc<Self>,
        request: v1::GetOrLockManyRequest,
        terms: &Terms,
        each: &mut Each<'_>,
    ) -> Result<(), Ended> {
        let (id, answers) = line.open.add_many()?;
        let request = Request::GetOrLockMany(request);
        let asked = Asked::of(&request);
        let left = line.send(id, request, terms);
        let mut waiting = WaitingForMany { id, line, asked, answers };
        loop {
            match timeout_at(terms.deadline, waiting.answers.recv()).await {
                Ok(Some((answer, more))) => {
                    if let Response::GetOrLockMany(answer) = answer? {
                        each(answer);
                    }
                    if !more {
                        return Ok(());
                    }
                }
                Ok(None) => return Err(closed()),
                Err(_) => return Err(late(left)),
            }
        }
    }

    /// Returns how long it may take.
    fn send(&self, id: i64, request: Request, terms: &Terms) -> Duration {
        let left = terms.deadline.saturating_duration_since(Instant::now());
        let traceparent = terms.traceparent.clone();
        let call = v1::SessionCall { id, deadline_ms: Some(ms(left).max(1)), traceparent, request: Some(request) };
        // If the stream has just broken, nothing receives it, and the call is told.
        let _ = self.outbox.send(Letter::Call(call));
        left
    }
}

fn closed() -> Ended {
    Ended::Error(CallError::new(Code::Unavailable, "the session was closed"))
}

fn late(after: Duration) -> Ended {
    Ended::Error(CallError::new(Code::DeadlineExceeded, format!("no answer within {} ms", after.as_millis())))
}

/// A call that a caller waits for. Dropping it cancels the call if that is still open, and gives back a lease that has
/// already come.
struct Waiting {
    id: i64,
    line: Arc<Line>,
    asked: Option<Asked>,
    answered: oneshot::Receiver<Answer>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let asked = self.line.open.leave(self.id, self.asked.take());
        if let (Some(asked), Ok(Ok(response))) = (asked, self.answered.try_recv()) {
            self.line.open.give_back(&asked, response);
        }
    }
}

/// Like [`Waiting`], for a call with several answers.
struct WaitingForMany {
    id: i64,
    line: Arc<Line>,
    asked: Option<Asked>,
    answers: mpsc::UnboundedReceiver<(Answer, bool)>,
}

impl Drop for WaitingForMany {
    fn drop(&mut self) {
        let Some(asked) = self.asked.take() else { return };
        let open = &self.line.open;
        // First it receives nothing more: later answers are given back separately.
        open.leave(self.id, Some(asked.clone()));
        while let Ok((answer, _)) = self.answers.try_recv() {
            if let Ok(response) = answer {
                open.give_back(&asked, response);
            }
        }
    }
}

/// What is sent on the stream: the hello, then what has gathered whenever there is room.
pub(crate) struct Outgoing {
    hello: Option<v1::SessionHello>,
    letters: mpsc::UnboundedReceiver<Letter>,
    taken: Vec<Letter>,
    /// Calls that have not fitted into a message yet.
    calls: VecDeque<v1::SessionCall>,
    cancelled_ids: Vec<i64>,
}

impl Stream for Outgoing {
    type Item = v1::SessionRequest;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(hello) = this.hello.take() {
            return Poll::Ready(Some(v1::SessionRequest { hello: Some(hello), ..Default::default() }));
        }
        while this.calls.is_empty() && this.cancelled_ids.is_empty() {
            match ready!(this.letters.poll_recv_many(context, &mut this.taken, TAKEN_MAX)) {
                0 => return Poll::Ready(None),
                _ => this.sort(),
            }
        }
        let calls = one_message(&mut this.calls);
        let cancelled_ids = mem::take(&mut this.cancelled_ids);
        Poll::Ready(Some(v1::SessionRequest { hello: None, calls, cancelled_ids }))
    }
}

impl Outgoing {
    /// The service handles cancellations before new calls, so a call that is cancelled before it was sent is not sent.
    fn sort(&mut self) {
        for letter in self.taken.drain(..) {
            match letter {
                Letter::Call(call) => self.calls.push_back(call),
                Letter::Cancel(id) => match self.calls.iter().rposition(|call| call.id == id) {
                    Some(unsent) => drop(self.calls.remove(unsent)),
                    None => self.cancelled_ids.push(id),
                },
            }
        }
    }
}

/// As many calls as one message may carry, and at least one if there is one.
fn one_message(calls: &mut VecDeque<v1::SessionCall>) -> Vec<v1::SessionCall> {
    let mut bytes = 0;
    let mut taken = 0;
    for call in calls.iter() {
        bytes += call.encoded_len() + CALL_OVERHEAD_BYTES;
        if taken > 0 && bytes > MESSAGE_BYTES_MAX {
            break;
        }
        taken += 1;
    }
    calls.drain(..taken).collect()
}
