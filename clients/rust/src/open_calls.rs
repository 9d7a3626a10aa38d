//! The open calls on one stream of a session.
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::{
    error::CallError,
    session_line::Letter,
    transport::{Request, Response},
    v1::{self, get_or_lock_many_response::Result as Answered, get_or_lock_response::Outcome},
    watch::Watching,
};

/// How many cancelled calls are remembered, in case their lease was on its way.
const LEFT_MAX: usize = 256;

/// Why a call has no response.
#[derive(Clone, Debug)]
pub(crate) enum Ended {
    /// The error that a unary call would have.
    Error(CallError),
    /// The service does not accept sessions here, or something on the way breaks streams. It is not an error of the
    /// call.
    NoSession,
    /// The token of the session is no longer valid. The call may be sent with the current one.
    Refused,
}

impl Ended {
    fn of(error: CallError) -> Self {
        if error.code == Code::Unauthenticated { Self::Refused } else { Self::Error(error) }
    }
}

pub(crate) type Answer = Result<Response, Ended>;

/// What a lease may come for.
#[derive(Clone)]
pub(crate) enum Asked {
    Key { namespace: String, key: String },
    Keys { namespace: String },
}

impl Asked {
    pub fn of(request: &Request) -> Option<Self> {
        match request {
            Request::GetOrLock(request) => {
                Some(Self::Key { namespace: request.namespace.clone(), key: request.key.clone() })
            }
            Request::GetOrLockMany(request) => Some(Self::Keys { namespace: request.namespace.clone() }),
            _ => None,
        }
    }

    /// The release of the lease that came, if one did.
    fn release(&self, response: Response) -> Option<v1::ReleaseRequest> {
        let (namespace, key, outcome) = match (self, response) {
            (Self::Key { namespace, key }, Response::GetOrLock(response)) => (namespace, key.clone(), response.outcome),
            (Self::Keys { namespace }, Response::GetOrLockMany(v1::GetOrLockManyResponse { key, result })) => {
                let Some(Answered::Response(response)) = result else { return None };
                (namespace, key, response.outcome)
            }
            _ => return None,
        };
        let Some(Outcome::Lease(lease)) = outcome else { return None };
        Some(v1::ReleaseRequest { namespace: namespace.clone(), key, token: lease.token, failure: None })
    }
}

/// What waits for one answer, or for several.
enum Waits {
    ForOne(oneshot::Sender<Answer>),
    ForMany(mpsc::UnboundedSender<(Answer, bool)>),
}

/// The open calls on one stream.
pub(crate) struct OpenCalls {
    calls: Mutex<Calls>,
    last_id: AtomicI64,
    outbox: mpsc::WeakUnboundedSender<Letter>,
    /// It was welcomed, or has ended.
    pub told: CancellationToken,
    pub watching: Watching,
}

#[derive(Default)]
struct Calls {
    by_id: HashMap<i64, Waits>,
    /// The last cancelled calls. A lease may have been on its way to them.
    left: VecDeque<(i64, Asked)>,
    confirmed: bool,
    ended: Option<Ended>,
}

impl OpenCalls {
    pub fn new(outbox: &mpsc::UnboundedSender<Letter>) -> Arc<Self> {
        Arc::new(Self {
            calls: Mutex::default(),
            last_id: AtomicI64::new(0),
            outbox: outbox.downgrade(),
            told: CancellationToken::new(),
            watching: Watching::new(),
        })
    }

    /// Opens the next call. Returns the receiver of its answer.
    pub fn add(&self) -> Result<(i64, oneshot::Receiver<Answer>), Ended> {
        let (answer, answered) = oneshot::channel();
        Ok((self.open(Waits::ForOne(answer))?, answered))
    }

    /// Opens the next call. Returns the receiver of its answers, each with whether more follow.
    pub fn add_many(&self) -> Result<(i64, mpsc::UnboundedReceiver<(Answer, bool)>), Ended> {
        let (answer, answers) = mpsc::unbounded_channel();
        Ok((self.open(Waits::ForMany(answer))?, answers))
    }

    fn open(&self, waits: Waits) -> Result<i64, Ended> {
        let id = self.next_id();
        let mut calls = self.calls();
        if let Some(ended) = &calls.ended {
            return Err(ended.clone());
        }
        calls.by_id.insert(id, waits);
        Ok(id)
    }

    fn next_id(&self) -> i64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Its caller has left. Returns what it asked for if it is no longer open, because its answer has come and must be
    /// given back.
    pub fn leave(&self, id: i64, asked: Option<Asked>) -> Option<Asked> {
        let mut calls = self.calls();
        if calls.by_id.remove(&id).is_none() {
            return asked;
        }
        calls.left.extend(asked.map(|asked| (id, asked)));
        if calls.left.len() > LEFT_MAX {
            calls.left.pop_front();
        }
        drop(calls);
        self.send(Letter::Cancel(id));
        None
    }

    /// A lease that no caller waits for goes to the next in line. Returns its release if the line is gone.
    pub fn give_back(&self, asked: &Asked, response: Response) -> Option<v1::ReleaseRequest> {
        let release = asked.release(response)?;
        let request = Some(Request::Release(release.clone()));
        let call = v1::SessionCall { id: self.next_id(), request, ..Default::default() };
        (!self.send(Letter::Call(call))).then_some(release)
    }

    /// False: the line is gone, and its calls with it.
    fn send(&self, letter: Letter) -> bool {
        self.outbox.upgrade().is_some_and(|outbox| outbox.send(letter).is_ok())
    }

    /// The service has welcomed the session, so everything on the way carries sessions.
    pub fn confirm(&self) {
        self.calls().confirmed = true;
        self.told.cancel();
    }

    pub fn is_confirmed(&self) -> bool {
        self.calls().confirmed
    }

    /// Returns the release of a lease that no caller waits for, unless this line has sent it.
    pub fn answer(&self, reply: v1::SessionReply) -> Option<v1::ReleaseRequest> {
        let v1::SessionReply { id, more, response } = reply;
        let mut calls = self.calls();
        match calls.by_id.get(&id) {
            Some(Waits::ForMany(many)) if more => {
                let _ = many.send((answer(response), true));
                return None;
            }
            Some(_) => {}
            None => {
                let at = calls.left.iter().position(|(of, _)| *of == id)?;
                let unsent = response.and_then(|response| self.give_back(&calls.left[at].1, response));
                if !more {
                    calls.left.remove(at);
                }
                return unsent;
            }
        }
        if let Some(waits) = calls.by_id.remove(&id) {
            waits.told(answer(response));
        }
        None
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
        for (_, waits) in calls.by_id.drain() {
            waits.told(Err(ended.clone()));
        }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waits {
    /// The last answer. A caller that has just left gives it back.
    fn told(self, answer: Answer) {
        match self {
            Self::ForOne(one) => drop(one.send(answer)),
            Self::ForMany(many) => drop(many.send((answer, false))),
        }
    }
}

fn answer(response: Option<Response>) -> Answer {
    match response {
        Some(Response::Error(error)) => Err(Ended::of(CallError::of_reply(error))),
        Some(response) => Ok(response),
        None => Err(Ended::Error(CallError::new(Code::Internal, "an answer of a kind that is not known"))),
    }
}
