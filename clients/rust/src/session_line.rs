//! One stream of a session, with the calls that are open on it.
use std::{
    collections::{HashMap, VecDeque},
    mem,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    task::{Context, Poll, ready},
};

use futures_util::Stream;
use prost::Message;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::{
    error::CallError,
    options::ms,
    transport::{Request, Response, Terms},
    v1::{self, get_or_lock_response::Outcome},
    watch::Watch,
};

/// A message of the contract is no larger, unless it carries a single call.
const MESSAGE_BYTES_MAX: usize = 1_048_576;
/// The field's key and length, before each call in a message.
const CALL_OVERHEAD_BYTES: usize = 8;
/// How much is taken from the queue at once.
const TAKEN_MAX: usize = 4_096;
/// How many cancelled calls are remembered, should their lease have been on its way.
const LEFT_MAX: usize = 256;

/// How a call ended that has no response.
#[derive(Clone, Debug)]
pub(crate) enum Ended {
    /// As a call of its own would have.
    Error(CallError),
    /// The service does not take sessions here, or something on the way breaks streams: not an error of the call.
    NoSession,
    /// The token with which the session was opened is not taken any more: the call may go with the one of now.
    Refused,
}

impl Ended {
    fn of(error: CallError) -> Self {
        if error.code == Code::Unauthenticated { Self::Refused } else { Self::Error(error) }
    }
}

/// One stream, with the calls that are open on it. It ends when nothing holds this any more.
pub(crate) struct Line {
    open: Arc<OpenCalls>,
    outbox: mpsc::UnboundedSender<Letter>,
}

enum Letter {
    Call(v1::SessionCall),
    Cancel(i64),
}

impl Line {
    /// The line, and what is to be sent on its stream.
    pub fn new(hello: v1::SessionHello) -> (Arc<Self>, Outgoing) {
        let (outbox, letters) = mpsc::unbounded_channel();
        let outgoing = Outgoing {
            hello: Some(hello),
            letters,
            taken: Vec::new(),
            calls: VecDeque::new(),
            cancelled_ids: Vec::new(),
        };
        let open = OpenCalls {
            calls: Mutex::default(),
            last_id: AtomicI64::new(0),
            outbox: outbox.downgrade(),
            told: CancellationToken::new(),
            watch: Watch::new(),
        };
        (Arc::new(Self { open: Arc::new(open), outbox }), outgoing)
    }

    pub fn open_calls(&self) -> Arc<OpenCalls> {
        self.open.clone()
    }

    pub fn watch(&self) -> Arc<Watch> {
        self.open.watch.clone()
    }

    pub fn has(&self, open: &Arc<OpenCalls>) -> bool {
        Arc::ptr_eq(&self.open, open)
    }

    /// Waits until the stream is welcomed, or has ended.
    pub async fn is_welcomed(&self) -> bool {
        self.open.told.cancelled().await;
        self.open.is_confirmed()
    }

    /// Dropping the future cancels the call.
    pub async fn ask(line: Arc<Self>, request: Request, terms: &Terms) -> Result<Response, Ended> {
        let id = line.open.next_id();
        let answered = line.open.add(id)?;
        let left = terms.deadline.saturating_duration_since(Instant::now());
        let asked = Asked::of(&request);
        let traceparent = terms.traceparent.clone();
        let call = v1::SessionCall { id, deadline_ms: Some(ms(left).max(1)), traceparent, request: Some(request) };
        let mut waiting = Waiting { id, line, asked, answered };
        // Where the stream has just broken nothing takes it, and the call is told of that.
        let _ = waiting.line.outbox.send(Letter::Call(call));
        match timeout_at(terms.deadline, &mut waiting.answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Ended::Error(CallError::new(Code::Unavailable, "the session was closed"))),
            Err(_) => {
                let message = format!("no answer within {} ms", left.as_millis());
                Err(Ended::Error(CallError::new(Code::DeadlineExceeded, message)))
            }
        }
    }
}

/// The key for which a lease may come.
struct Asked {
    namespace: String,
    key: String,
}

impl Asked {
    fn of(request: &Request) -> Option<Self> {
        match request {
            Request::GetOrLock(request) => {
                Some(Self { namespace: request.namespace.clone(), key: request.key.clone() })
            }
            _ => None,
        }
    }
}

/// A call that a caller waits for. Dropped, it is cancelled if it is still open, and a lease that has come already is
/// given back.
struct Waiting {
    id: i64,
    line: Arc<Line>,
    asked: Option<Asked>,
    answered: oneshot::Receiver<Answer>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let asked = self.asked.take();
        if self.line.open.calls().by_id.remove(&self.id).is_some() {
            self.line.open.left(self.id, asked);
            let _ = self.line.outbox.send(Letter::Cancel(self.id));
        } else if let (Some(asked), Ok(Ok(response))) = (asked, self.answered.try_recv()) {
            self.line.open.give_back(asked, response);
        }
    }
}

type Answer = Result<Response, Ended>;

/// The calls that are open on one stream.
pub(crate) struct OpenCalls {
    calls: Mutex<Calls>,
    last_id: AtomicI64,
    outbox: mpsc::WeakUnboundedSender<Letter>,
    /// It was welcomed, or has ended.
    told: CancellationToken,
    pub watch: Arc<Watch>,
}

#[derive(Default)]
struct Calls {
    by_id: HashMap<i64, oneshot::Sender<Answer>>,
    /// The last that were cancelled: a lease may have crossed that on its way.
    left: VecDeque<(i64, Asked)>,
    confirmed: bool,
    ended: Option<Ended>,
}

impl OpenCalls {
    fn next_id(&self) -> i64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn add(&self, id: i64) -> Result<oneshot::Receiver<Answer>, Ended> {
        let mut calls = self.calls();
        if let Some(ended) = &calls.ended {
            return Err(ended.clone());
        }
        let (answer, answered) = oneshot::channel();
        calls.by_id.insert(id, answer);
        Ok(answered)
    }

    fn left(&self, id: i64, asked: Option<Asked>) {
        let left = &mut self.calls().left;
        left.extend(asked.map(|asked| (id, asked)));
        if left.len() > LEFT_MAX {
            left.pop_front();
        }
    }

    /// A lease that no caller waits for goes to the next in line.
    fn give_back(&self, Asked { namespace, key }: Asked, response: Response) {
        let Response::GetOrLock(v1::GetOrLockResponse { outcome: Some(Outcome::Lease(lease)), .. }) = response else {
            return;
        };
        let release = v1::ReleaseRequest { namespace, key, token: lease.token, failure: None };
        let request = Some(Request::Release(release));
        let call = v1::SessionCall { id: self.next_id(), request, ..Default::default() };
        // Where the line has gone its leases end with the session.
        if let Some(outbox) = self.outbox.upgrade() {
            let _ = outbox.send(Letter::Call(call));
        }
    }

    /// The service has welcomed the session: what is on the way carries sessions.
    pub fn confirm(&self) {
        self.calls().confirmed = true;
        self.told.cancel();
    }

    pub fn is_confirmed(&self) -> bool {
        self.calls().confirmed
    }

    pub fn answer(&self, reply: v1::SessionReply) {
        let mut calls = self.calls();
        if let Some(call) = calls.by_id.remove(&reply.id) {
            let answer = match reply.response {
                Some(Response::Error(error)) => Err(Ended::of(CallError::of_reply(error))),
                Some(response) => Ok(response),
                None => Err(Ended::Error(CallError::new(Code::Internal, "an answer of a kind that is not known"))),
            };
            let _ = call.send(answer);
        } else if let Some(at) = calls.left.iter().position(|(id, _)| *id == reply.id) {
            let left = calls.left.remove(at);
            if let (Some((_, asked)), Some(response)) = (left, reply.response) {
                self.give_back(asked, response);
            }
        }
    }

    /// The stream has ended, and all its calls with it.
    pub fn end(&self, error: &CallError) {
        let mut calls = self.calls();
        let ended = match Ended::of(error.clone()) {
            Ended::Error(_) if !calls.confirmed => Ended::NoSession,
            ended => ended,
        };
        calls.ended = Some(ended.clone());
        self.told.cancel();
        for (_, call) in calls.by_id.drain() {
            let _ = call.send(Err(ended.clone()));
        }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is sent on the stream: the hello, then what has gathered each time that there is room.
pub(crate) struct Outgoing {
    hello: Option<v1::SessionHello>,
    letters: mpsc::UnboundedReceiver<Letter>,
    taken: Vec<Letter>,
    /// Calls that have not found room in a message yet.
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
    /// The service cancels before it takes new calls: a call that is cancelled before it was sent is not sent at all.
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

/// As many calls as one message may carry, and at least one where there is any.
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
