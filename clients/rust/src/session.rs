//! All calls on one stream.
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};
use tonic::Code;

use crate::{
    error::CallError,
    flights::Flights,
    lease_registry::LeaseRegistry,
    link::Link,
    local_results::LocalResults,
    near_cache::NearCache,
    open_calls::{Ended, OpenCalls},
    running_time::ran_for,
    session_line::{Line, Outgoing},
    transport::{Each, Request, Response, Terms},
    v1,
};

/// The time for the welcome, even if the connection was made just in time.
const MARGIN: Duration = Duration::from_millis(200);

/// Receives what the service sends without a request.
#[derive(Clone, Default)]
pub(crate) struct Hears {
    pub leases: Arc<LeaseRegistry>,
    pub flights: Arc<Flights>,
    pub near: Option<Arc<NearCache>>,
    pub local_results: Arc<LocalResults>,
}

impl Hears {
    /// The service was there, and the session reports only changes from now on. Answers to requests under way over another
    /// session may be older than a change that was not reported. No call joins a request that this session sent before its
    /// welcome, but calls may join its rebuild.
    fn began(&self) {
        self.flights.close_joined();
        self.local_results.drop_all();
        if let Some(near) = &self.near {
            near.drop_broken();
        }
    }

    fn changed(&self, changed: &v1::Invalidated) {
        let v1::Invalidated { namespace, keys, tags, all } = changed;
        if let Some(near) = &self.near {
            near.heard(changed);
        }
        if *all || !tags.is_empty() {
            // The tags of a value are unknown before its rebuild ends.
            self.local_results.drop_namespace(namespace);
            return self.flights.close_namespace(namespace);
        }
        for key in keys {
            self.local_results.drop_key(namespace, key);
            self.flights.close_key(namespace, key);
        }
    }

    /// Changes may have been missed, so this is like a change of everything.
    fn missed(&self) {
        self.flights.close_all();
        if let Some(near) = &self.near {
            near.missed();
        }
    }
}

/// All calls on one stream. Calls that gather while a message is being sent leave together, and answers come in any
/// order. A draining replica gets no new calls, and still answers the open ones.
pub(crate) struct Session {
    link: Arc<Link>,
    holder: String,
    hears: Hears,
    /// Notified when its stream is left or has ended.
    over: Arc<Notify>,
    give_back: GiveBack,
    state: Mutex<State>,
}

/// Sends a release elsewhere. A stream that was left ends no lease, and carries nothing more after its last call.
pub(crate) type GiveBack = Box<dyn Fn(v1::ReleaseRequest) + Send + Sync>;

#[derive(Default)]
struct State {
    /// The stream for new calls. A stream ends when neither this nor an open call holds its line.
    line: Option<Arc<Line>>,
    resume_token: String,
    /// It was logged that the service refuses the session.
    told_refused: bool,
}

impl Session {
    pub fn new(link: Arc<Link>, holder: String, hears: Hears, over: Arc<Notify>, give_back: GiveBack) -> Arc<Self> {
        Arc::new(Self { link, holder, hears, over, give_back, state: Mutex::default() })
    }

    /// Whether the service accepts sessions here, as far as is known now.
    pub async fn is_welcomed(self: &Arc<Self>) -> bool {
        self.live().is_welcomed().await
    }

    pub async fn ask(self: &Arc<Self>, request: Request, terms: &Terms) -> Result<Response, Ended> {
        let line = self.live();
        // Taken before it is sent, because a change that comes from now on overtakes the answer.
        let ticket = match (&self.hears.near, &request) {
            (Some(near), Request::GetOrLock(request)) => {
                near.ask(&request.namespace, &request.key).map(|ticket| (ticket, line.watch()))
            }
            _ => None,
        };
        let response = Line::ask(line, request, terms).await?;
        if let (Some((ticket, watch)), Response::GetOrLock(response)) = (ticket, &response) {
            ticket.answered(response, &watch);
        }
        Ok(response)
    }

    pub async fn ask_many(
        self: &Arc<Self>,
        request: v1::GetOrLockManyRequest,
        terms: &Terms,
        each: &mut Each<'_>,
    ) -> Result<(), Ended> {
        let line = self.live();
        let watch = line.watch();
        let near = self.hears.near.as_ref();
        let mut tickets = near.map(|near| near.ask_many(&request.namespace, &request.keys)).unwrap_or_default();
        let mut heard = |answer: v1::GetOrLockManyResponse| {
            tickets.answered(&answer, &watch);
            each(answer);
        };
        Line::ask_many(line, request, terms, &mut heard).await
    }

    /// There is a stream for new calls.
    pub fn is_open(&self) -> bool {
        self.state().line.as_ref().is_some_and(|line| line.is_confirmed())
    }

    /// It receives all changes now.
    pub fn watches(&self) -> bool {
        let state = self.state();
        state.line.as_ref().is_some_and(|line| line.watch().is_live(Instant::now()))
    }

    /// The stream for new calls. Opens one if there is none.
    fn live(self: &Arc<Self>) -> Arc<Line> {
        let mut state = self.state();
        if let Some(line) = &state.line {
            return line.clone();
        }
        let hello = v1::SessionHello {
            resume_token: state.resume_token.clone(),
            holder: self.holder.clone(),
            watched_namespaces: self.hears.near.as_ref().map_or_else(Vec::new, |near| near.namespaces.clone()),
        };
        let (line, outgoing) = Line::new(hello);
        state.line = Some(line.clone());
        let open = line.open_calls();
        // Dropping the client ends its stream too.
        tokio::spawn(Self::hear(Arc::downgrade(self), self.link.clone(), open, outgoing));
        line
    }

    /// Opens the stream, reads it, and tells its calls when it ends.
    async fn hear(session: Weak<Self>, link: Arc<Link>, open: Arc<OpenCalls>, outgoing: Outgoing) {
        let within = link.connect_timeout() + MARGIN;
        // A separate connection, so that a new session may reach another replica.
        let mut stub = link.connect().stub();
        let opening = async {
            let mut incoming = stub.session(outgoing).await?.into_inner();
            let first = incoming.message().await?;
            Ok::<_, tonic::Status>((incoming, first))
        };
        let opening = async {
            tokio::select! {
                biased;
                opened = opening => Some(opened),
                () = ran_for(within) => None,
            }
        };
        let closed = || CallError::new(Code::Unavailable, "the session was closed");
        let error = match opening.await {
            None => {
                let ms = within.as_millis();
                CallError::new(Code::Unavailable, format!("no session within {ms} ms"))
            }
            Some(Err(status)) => CallError::of_status(&status),
            Some(Ok((_, None))) => closed(),
            Some(Ok((mut incoming, Some(first)))) => {
                open.confirm();
                Self::begin(&session, &open);
                let mut message = first;
                loop {
                    Self::heard(&session, &open, message);
                    match incoming.message().await {
                        Ok(Some(next)) => message = next,
                        Ok(None) => break closed(),
                        Err(status) => break CallError::of_status(&status),
                    }
                }
            }
        };
        open.watching.end();
        // First it accepts no more calls, and then its open calls end.
        if let Some(session) = session.upgrade() {
            session.state().line.take_if(|line| line.has(&open));
            if open.is_confirmed() {
                session.hears.missed();
            } else {
                session.tell_refused(&error);
            }
            session.over.notify_one();
        }
        open.end(&error);
    }

    /// It has begun. It counts as live last of all, because other tasks may look at any time.
    fn begin(session: &Weak<Self>, open: &OpenCalls) {
        let session = session.upgrade();
        session.iter().for_each(|session| session.hears.began());
        open.watching.begin(|| session.iter().for_each(|session| session.hears.missed()));
    }

    fn heard(session: &Weak<Self>, open: &Arc<OpenCalls>, message: v1::SessionResponse) {
        let session = session.upgrade();
        if let (Some(welcome), Some(session)) = (message.welcome, &session) {
            session.state().resume_token = welcome.resume_token;
        }
        for reply in message.replies {
            let is_refused = is_refused(&reply);
            if let (Some(release), Some(session)) = (open.answer(reply), &session) {
                (session.give_back)(release);
            }
            if let (true, Some(session)) = (is_refused, &session) {
                session.leave(open);
            }
        }
        for event in message.events {
            match (event.event, &session) {
                (Some(v1::session_event::Event::LeaseLost(lost)), Some(session)) => {
                    session.hears.leases.lost(lost.token)
                }
                (Some(v1::session_event::Event::Draining(_)), Some(session)) => session.leave(open),
                (Some(v1::session_event::Event::Invalidated(changed)), Some(session)) => {
                    session.hears.changed(&changed)
                }
                (Some(v1::session_event::Event::Beat(_)), Some(session)) => {
                    open.watching.beat(|| session.hears.missed());
                }
                _ => {}
            }
        }
    }

    /// New calls go to another replica. The open ones are still answered on this stream.
    fn leave(&self, open: &Arc<OpenCalls>) {
        let mut state = self.state();
        if state.line.take_if(|line| line.has(open)).is_some() {
            state.resume_token.clear();
            drop(state);
            open.watching.end();
            self.hears.missed();
            self.over.notify_one();
        }
    }

    /// Calls still succeed, one by one, so an option or a permission that is wrong would go unnoticed.
    fn tell_refused(&self, error: &CallError) {
        let is_refused = matches!(error.code, Code::InvalidArgument | Code::PermissionDenied);
        if is_refused && !std::mem::replace(&mut self.state().told_refused, true) {
            tracing::warn!(
                "dibs: the service refuses the session ({error}): calls are sent one by one, without a near cache: \
                 correct the client's options, or its permissions"
            );
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token of the session is no longer valid. The next sessions send the current one.
fn is_refused(reply: &v1::SessionReply) -> bool {
    matches!(&reply.response, Some(Response::Error(error)) if Code::from(error.code) == Code::Unauthenticated)
}

#[cfg(test)]
mod late_beats;
