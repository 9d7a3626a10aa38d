//! A service over real gRPC that says what a test tells it to.
use std::{
    collections::{HashMap, VecDeque},
    future::pending,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use dibs::{
    Client, ClientBuilder,
    v1::{self, session_call, session_reply::Response as Reply},
};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc},
};
use tokio_stream::{Stream, StreamExt, wrappers::TcpListenerStream, wrappers::UnboundedReceiverStream};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Certificate, Identity, Server, ServerTlsConfig},
};

use self::generated::coordinator_service_server::{CoordinatorService, CoordinatorServiceServer};

mod generated {
    #![allow(clippy::all, clippy::pedantic)]
    include!("../generated/dibs.v1.rs");
}

/// What the fake answers to one call; the last one of a method stays.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "there are few of them")]
pub enum Answer {
    Reply(Reply),
    Refuse(Status),
    Never,
    /// This, when the gate is opened.
    Gated(Arc<Notify>, Box<Answer>),
}

/// What one call was, as the service saw it.
#[derive(Clone)]
pub struct Heard {
    pub request: session_call::Request,
    pub metadata: tonic::metadata::MetadataMap,
    /// Its caller has gone before it was answered.
    pub left: Arc<AtomicBool>,
}

impl Heard {
    pub fn is_left(&self) -> bool {
        self.left.load(Ordering::SeqCst)
    }
}

/// One session, as the service sees it.
pub struct Session {
    pub requests: Streaming<v1::SessionRequest>,
    pub responses: mpsc::UnboundedSender<Result<v1::SessionResponse, Status>>,
}

impl Session {
    pub fn send(&self, response: v1::SessionResponse) {
        self.responses.send(Ok(response)).expect("the session is open");
    }

    /// The stream breaks.
    pub fn fail(&self) {
        let _ = self.responses.send(Err(Status::unavailable("the stream broke")));
    }

    pub fn welcome(&self, resume_token: &str) {
        let welcome = v1::SessionWelcome { resume_token: resume_token.into(), ..Default::default() };
        self.send(v1::SessionResponse { welcome: Some(welcome), ..Default::default() });
    }

    pub fn event(&self, event: v1::session_event::Event) {
        let events = vec![v1::SessionEvent { event: Some(event) }];
        self.send(v1::SessionResponse { events, ..Default::default() });
    }

    pub fn reply(&self, id: i64, reply: Reply) {
        let replies = vec![v1::SessionReply { id, more: false, response: Some(reply) }];
        self.send(v1::SessionResponse { replies, ..Default::default() });
    }

    /// Replies to the next call.
    pub async fn answer(&mut self, reply: Reply) {
        let id = self.call().await.id;
        self.reply(id, reply);
    }

    pub async fn heard(&mut self) -> v1::SessionRequest {
        super::soon(self.requests.message()).await.expect("no error").expect("a message")
    }

    /// The next call.
    pub async fn call(&mut self) -> v1::SessionCall {
        let mut calls = self.heard().await.calls;
        assert_eq!(calls.len(), 1);
        calls.remove(0)
    }
}

#[derive(Default)]
struct State {
    answers: HashMap<&'static str, VecDeque<Answer>>,
    heard: Vec<Heard>,
    /// Where sessions go; none refuses them.
    sessions: Option<mpsc::UnboundedSender<Session>>,
}

#[derive(Clone)]
pub struct Fake {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    drained: Arc<Notify>,
}

impl Fake {
    pub async fn start() -> Self {
        Self::serve(Server::builder()).await
    }

    pub async fn start_tls(certificate: &str, key: &str) -> Self {
        let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
        Self::serve(Server::builder().tls_config(tls).expect("a certificate")).await
    }

    /// Takes only callers with that certificate.
    pub async fn start_mutual_tls(certificate: &str, key: &str, of_clients: &str) -> Self {
        let identity = Identity::from_pem(certificate, key);
        let tls = ServerTlsConfig::new().identity(identity).client_ca_root(Certificate::from_pem(of_clients));
        Self::serve(Server::builder().tls_config(tls).expect("a certificate")).await
    }

    async fn serve(mut server: Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let fake = Self { state: Arc::default(), address, drained: Arc::default() };
        let service = CoordinatorServiceServer::new(fake.clone());
        let (incoming, drained) = (TcpListenerStream::new(listener), fake.drained.clone());
        let ended = async move { drained.notified().await };
        tokio::spawn(server.add_service(service).serve_with_incoming_shutdown(incoming, ended));
        fake
    }

    /// Accepts no more connections and ends the open ones, after their calls.
    pub fn drain(&self) {
        self.drained.notify_one();
    }

    pub fn target(&self) -> String {
        self.address.to_string()
    }

    /// A client that makes one gRPC call for each call.
    pub fn client(&self) -> Client {
        self.client_with(Client::builder())
    }

    pub fn client_with(&self, options: ClientBuilder) -> Client {
        options.target(self.target()).session(false).connect_timeout(super::SOON).build().expect("a client")
    }

    /// The sessions that are opened from now on.
    pub fn sessions(&self) -> mpsc::UnboundedReceiver<Session> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.state().sessions = Some(sender);
        receiver
    }

    pub fn will(&self, method: &'static str, answers: impl IntoIterator<Item = Answer>) {
        self.state().answers.insert(method, answers.into_iter().collect());
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.state().heard.clone()
    }

    pub fn asked(&self) -> Vec<v1::GetOrLockRequest> {
        self.requests(|request| match request {
            session_call::Request::GetOrLock(request) => Some(request),
            _ => None,
        })
    }

    pub fn asked_many(&self) -> Vec<v1::GetOrLockManyRequest> {
        self.requests(|request| match request {
            session_call::Request::GetOrLockMany(request) => Some(request),
            _ => None,
        })
    }

    pub fn published(&self) -> Vec<v1::PublishRequest> {
        self.requests(|request| match request {
            session_call::Request::Publish(request) => Some(request),
            _ => None,
        })
    }

    pub fn released(&self) -> Vec<v1::ReleaseRequest> {
        self.requests(|request| match request {
            session_call::Request::Release(request) => Some(request),
            _ => None,
        })
    }

    fn requests<T>(&self, only: impl Fn(session_call::Request) -> Option<T>) -> Vec<T> {
        self.heard().into_iter().filter_map(|heard| only(heard.request)).collect()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds this")
    }

    async fn answer<T>(
        &self,
        method: &'static str,
        request: Request<T>,
        of: fn(T) -> session_call::Request,
    ) -> Result<Reply, Status> {
        let (metadata, _, message) = request.into_parts();
        let left = Arc::new(AtomicBool::new(false));
        let answer = {
            let mut state = self.state();
            state.heard.push(Heard { request: of(message), metadata, left: left.clone() });
            let answers = state.answers.entry(method).or_default();
            if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
        };
        let answer = match answer {
            Some(Answer::Gated(gate, answer)) => {
                gate.notified().await;
                Some(*answer)
            }
            answer => answer,
        };
        match answer {
            Some(Answer::Reply(reply)) => Ok(reply),
            Some(Answer::Refuse(status)) => Err(status),
            Some(Answer::Gated(..)) => panic!("a gate behind a gate"),
            Some(Answer::Never) => {
                let _left = Left(left);
                pending().await
            }
            None => Err(Status::internal(format!("no answer was told for {method}"))),
        }
    }
}

fn of_key(key: String, response: &v1::GetOrLockResponse) -> v1::GetOrLockManyResponse {
    let mut response = response.clone();
    if let Some(v1::get_or_lock_response::Outcome::Lease(lease)) = &mut response.outcome {
        lease.token = format!("{} of {key}", lease.token);
    }
    let result = Some(v1::get_or_lock_many_response::Result::Response(response));
    v1::GetOrLockManyResponse { key, result }
}

struct Left(Arc<AtomicBool>);

impl Drop for Left {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl CoordinatorService for Fake {
    type GetOrLockManyStream = Answers<v1::GetOrLockManyResponse>;
    type SessionStream = Answers<v1::SessionResponse>;

    async fn get_or_lock(
        &self,
        request: Request<v1::GetOrLockRequest>,
    ) -> Result<Response<v1::GetOrLockResponse>, Status> {
        match self.answer("get_or_lock", request, session_call::Request::GetOrLock).await? {
            Reply::GetOrLock(response) => Ok(Response::new(response)),
            other => panic!("{other:?}"),
        }
    }

    async fn publish(&self, request: Request<v1::PublishRequest>) -> Result<Response<v1::PublishResponse>, Status> {
        match self.answer("publish", request, session_call::Request::Publish).await? {
            Reply::Publish(response) => Ok(Response::new(response)),
            other => panic!("{other:?}"),
        }
    }

    async fn release(&self, request: Request<v1::ReleaseRequest>) -> Result<Response<v1::ReleaseResponse>, Status> {
        match self.answer("release", request, session_call::Request::Release).await? {
            Reply::Release(response) => Ok(Response::new(response)),
            other => panic!("{other:?}"),
        }
    }

    async fn extend(&self, request: Request<v1::ExtendRequest>) -> Result<Response<v1::ExtendResponse>, Status> {
        match self.answer("extend", request, session_call::Request::Extend).await? {
            Reply::Extend(response) => Ok(Response::new(response)),
            other => panic!("{other:?}"),
        }
    }

    async fn invalidate(
        &self,
        request: Request<v1::InvalidateRequest>,
    ) -> Result<Response<v1::InvalidateResponse>, Status> {
        match self.answer("invalidate", request, session_call::Request::Invalidate).await? {
            Reply::Invalidate(response) => Ok(Response::new(response)),
            other => panic!("{other:?}"),
        }
    }

    async fn explain(&self, request: Request<v1::ExplainRequest>) -> Result<Response<v1::ExplainResponse>, Status> {
        match self.answer("explain", request, session_call::Request::Explain).await? {
            Reply::Explain(response) => Ok(Response::new(response)),
            other => panic!("{other:?}"),
        }
    }

    async fn get_or_lock_many(
        &self,
        request: Request<v1::GetOrLockManyRequest>,
    ) -> Result<Response<Self::GetOrLockManyStream>, Status> {
        let keys = request.get_ref().keys.clone();
        let reply = self.answer("get_or_lock_many", request, session_call::Request::GetOrLockMany).await?;
        let Reply::GetOrLock(response) = reply else { panic!("{reply:?}") };
        // The same for each key, but for the token of a lease.
        let answers: Vec<_> = keys.into_iter().map(|key| Ok(of_key(key, &response))).collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(answers))))
    }

    async fn session(
        &self,
        request: Request<Streaming<v1::SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let sessions = self.state().sessions.clone().ok_or_else(|| Status::unimplemented("no sessions"))?;
        let (responses, receiver) = mpsc::unbounded_channel();
        let session = Session { requests: request.into_inner(), responses };
        sessions.send(session).map_err(|_| Status::unavailable("the receiver is gone"))?;
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(receiver).map(|response| response))))
    }
}
