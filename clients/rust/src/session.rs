//! All calls on one stream.
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tonic::Code;

use crate::{
    error::CallError,
    flights::Flights,
    lease_registry::LeaseRegistry,
    link::Link,
    running_time::ran_for,
    session_line::{Ended, Line, OpenCalls, Outgoing},
    transport::{Request, Response, Terms},
    v1,
};

/// What a connection that was made just in time leaves for the welcome.
const MARGIN: Duration = Duration::from_millis(200);

/// All calls on one stream: what gathers while a message is being sent leaves together, and answers come in any order.
/// A replica that drains is left for new calls, and still answers the open ones.
pub(crate) struct Session {
    link: Arc<Link>,
    holder: String,
    leases: Arc<LeaseRegistry>,
    flights: Arc<Flights>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The stream for new calls. A stream ends when neither this nor an open call holds its line.
    line: Option<Arc<Line>>,
    resume_token: String,
}

impl Session {
    pub fn new(link: Arc<Link>, holder: String, leases: Arc<LeaseRegistry>, flights: Arc<Flights>) -> Arc<Self> {
        Arc::new(Self { link, holder, leases, flights, state: Mutex::default() })
    }

    /// Whether the service takes sessions here, as far as can be told now.
    pub async fn is_welcomed(self: &Arc<Self>) -> bool {
        self.live().is_welcomed().await
    }

    pub async fn ask(self: &Arc<Self>, request: Request, terms: &Terms) -> Result<Response, Ended> {
        Line::ask(self.live(), request, terms).await
    }

    /// The stream for new calls, opened if there is none.
    fn live(self: &Arc<Self>) -> Arc<Line> {
        let mut state = self.state();
        if let Some(line) = &state.line {
            return line.clone();
        }
        let hello = v1::SessionHello {
            resume_token: state.resume_token.clone(),
            holder: self.holder.clone(),
            watched_namespaces: Vec::new(),
        };
        let (line, outgoing) = Line::new(hello);
        state.line = Some(line.clone());
        let open = line.open_calls();
        // Dropping the client ends its stream, too.
        tokio::spawn(Self::hear(Arc::downgrade(self), self.link.clone(), open, outgoing));
        line
    }

    /// Opens the stream, hears it, and tells its calls of its end.
    async fn hear(session: Weak<Self>, link: Arc<Link>, open: Arc<OpenCalls>, outgoing: Outgoing) {
        let within = link.connect_timeout() + MARGIN;
        // A connection of its own, so that a new session meets another replica where there are more.
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
        // First no more calls on it, then the end of those that are open.
        if let Some(session) = session.upgrade() {
            session.state().line.take_if(|line| line.has(&open));
            if open.is_confirmed() {
                // What happened meanwhile is not known: flights from before it take no more callers.
                session.flights.close_all();
            }
        }
        open.end(&error);
    }

    fn heard(session: &Weak<Self>, open: &Arc<OpenCalls>, message: v1::SessionResponse) {
        let session = session.upgrade();
        if let (Some(welcome), Some(session)) = (message.welcome, &session) {
            session.state().resume_token = welcome.resume_token;
        }
        for reply in message.replies {
            open.answer(reply);
        }
        for event in message.events {
            match (event.event, &session) {
                (Some(v1::session_event::Event::LeaseLost(lost)), Some(session)) => session.leases.lost(lost.token),
                (Some(v1::session_event::Event::Draining(_)), Some(session)) => session.leave(open),
                _ => {}
            }
        }
    }

    /// New calls go to another replica; the open ones are still answered on this stream.
    fn leave(&self, open: &Arc<OpenCalls>) {
        let mut state = self.state();
        if state.line.take_if(|line| line.has(open)).is_some() {
            state.resume_token.clear();
            drop(state);
            self.flights.close_all();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
