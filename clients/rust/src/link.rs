//! Connections to the service, and what every call on them carries.
use std::time::Duration;

use tonic::{
    codegen::http::{Uri, uri::PathAndQuery},
    metadata::MetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use crate::{
    address::{Address, Place},
    connecting::Connector,
    error::Error,
    options::ConnectionOptions,
    tls::Tls,
    token::Bearing,
    trace::Trace,
    v1::coordinator_service_client::CoordinatorServiceClient,
};

/// A dead connection is noticed within 15 s, and its calls end.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Precedes tonic's own.
const USER_AGENT: &str = concat!("dibs-client-rust/", env!("CARGO_PKG_VERSION"));
/// What may be in flight on the connection: a session has hundreds of answers in one message.
const WINDOW_BYTES: u32 = 4_194_304;
/// Practically forever, without an overflow of the clock.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The generated stub, with the client's token on each call.
pub type Stub = CoordinatorServiceClient<InterceptedService<Channel, Bearer>>;

/// Sends the client's token with each call, and, with the feature `opentelemetry`, the traceparent of the current span
/// unless the call has one.
#[derive(Clone)]
pub struct Bearer {
    token: Bearing,
    /// The client's own calls set their traceparent themselves.
    traced: bool,
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        if let Some(token) = self.token.header()? {
            request.metadata_mut().insert("authorization", token);
        }
        if self.traced && !request.metadata().contains_key("traceparent") {
            carry(&mut request, Trace::of_caller("").traceparent());
        }
        Ok(request)
    }
}

/// Text that is no header value is no traceparent either. The call does not depend on it.
pub(crate) fn carry<T>(request: &mut tonic::Request<T>, traceparent: &str) {
    if let Ok(value) = MetadataValue::try_from(traceparent)
        && !traceparent.is_empty()
    {
        request.metadata_mut().insert("traceparent", value);
    }
}

/// One connection. Its first call opens it, and the first call after it broke opens it again.
#[derive(Clone)]
pub(crate) struct Connection(InterceptedService<Channel, Bearer>);

impl Connection {
    pub fn stub(&self) -> Stub {
        // The service bounds the values.
        CoordinatorServiceClient::new(self.0.clone())
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX)
    }

    /// Calls the standard health service. Returns the answer if that is an error.
    pub async fn health(&self) -> Option<tonic::Status> {
        let mut grpc = tonic::client::Grpc::new(self.0.clone());
        if let Err(error) = grpc.ready().await {
            return Some(tonic::Status::from_error(error.into()));
        }
        let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        grpc.unary(tonic::Request::new(()), path, codec).await.err()
    }
}

/// Makes connections to one target.
pub(crate) struct Link {
    endpoint: Endpoint,
    /// `http`, or `https` with TLS.
    scheme: &'static str,
    connector: Connector,
    token: Bearing,
    connect_timeout: Duration,
}

impl Link {
    /// Connects when the first call is made.
    pub fn new(options: &ConnectionOptions) -> Result<Self, Error> {
        let ConnectionOptions { target, token, tls_ca, .. } = options;
        let address = Address::parse(target)?;
        if !token.is_none() && tls_ca.is_empty() && !options.allow_insecure_token && !address.is_this_machine() {
            return Err(Error::Options(format!(
                "token: would be sent unencrypted to {target}: set tls_ca (DIBS_TLS_CA), or allow_insecure_token"
            )));
        }
        let tls = Tls::of(options, &address.hosts())?;
        // The connector handles TLS, so the channel itself has none.
        let scheme = if tls.is_some() { "https" } else { "http" };
        let uri = |scheme: &str| {
            let uri = format!("{scheme}://{}", address.authority());
            uri.parse::<Uri>().map_err(|error| Error::Options(format!("target {target}: {error}")))
        };
        let origin = uri(scheme)?;
        let endpoint = Endpoint::from(uri("http")?)
            .origin(origin)
            .user_agent(USER_AGENT)
            .map_err(|error| Error::Options(format!("user agent: {error}")))?
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES);
        let connect_timeout = options.connect_timeout.min(CONNECT_TIMEOUT_MAX);
        let connector = Connector::new(address, tls, connect_timeout);
        Ok(Self { endpoint, scheme, connector, token: Bearing::of(token)?, connect_timeout })
    }

    pub fn address(&self) -> &Address {
        self.connector.address()
    }

    /// Connects to this address only.
    pub fn at(&self, place: &Place) -> Self {
        // It is a part of the target, which was already parsed.
        let origin = format!("{}://{}", self.scheme, place.name).parse::<Uri>();
        let endpoint = origin.map_or_else(|_| self.endpoint.clone(), |origin| self.endpoint.clone().origin(origin));
        let (scheme, token) = (self.scheme, self.token.clone());
        Self { endpoint, scheme, connector: self.connector.at(place), token, connect_timeout: self.connect_timeout }
    }

    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    pub fn connect(&self) -> Connection {
        self.carrying(self.channel(), false)
    }

    /// Like [`Self::connect`], with a stub on the same connection for the user.
    pub fn connect_for_two(&self) -> (Connection, Stub) {
        let channel = self.channel();
        (self.carrying(channel.clone(), false), self.carrying(channel, true).stub())
    }

    fn channel(&self) -> Channel {
        self.endpoint.connect_with_connector_lazy(self.connector.clone())
    }

    fn carrying(&self, channel: Channel, traced: bool) -> Connection {
        Connection(InterceptedService::new(channel, Bearer { token: self.token.clone(), traced }))
    }
}
