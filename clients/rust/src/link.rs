//! Connections to the service, and what every call on them carries.
use std::{fs, time::Duration};

use tonic::{
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use crate::{
    connecting::{Address, Connector},
    error::Error,
    options::Connection,
    trace::Trace,
    v1::coordinator_service_client::CoordinatorServiceClient,
};

/// A link that died without a word is found within 15 s, and the calls on it end.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// What may be under way on the connection: a session has hundreds of answers in one message.
const WINDOW_BYTES: u32 = 4_194_304;

/// The generated stub, with the client's token on each call.
pub type Stub = CoordinatorServiceClient<InterceptedService<Channel, Bearer>>;

/// Sends the client's token with each call, and, with the feature `opentelemetry`, the traceparent of the current span
/// unless the call has one.
#[derive(Clone)]
pub struct Bearer {
    token: Option<MetadataValue<Ascii>>,
    /// The client's own calls say themselves what they are part of.
    traced: bool,
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", token.clone());
        }
        if self.traced && !request.metadata().contains_key("traceparent") {
            carry(&mut request, Trace::of_caller("").traceparent());
        }
        Ok(request)
    }
}

/// What is no header value is no traceparent either, and the call does not depend on it.
pub(crate) fn carry<T>(request: &mut tonic::Request<T>, traceparent: &str) {
    if let Ok(value) = MetadataValue::try_from(traceparent)
        && !traceparent.is_empty()
    {
        request.metadata_mut().insert("traceparent", value);
    }
}

/// Makes connections to one target.
pub(crate) struct Link {
    endpoint: Endpoint,
    connector: Connector,
    token: Option<MetadataValue<Ascii>>,
    connect_timeout: Duration,
}

impl Link {
    /// Connects when the first call is made.
    pub fn new(connection: &Connection, connect_timeout: Duration) -> Result<Self, Error> {
        let Connection { target, token, tls_ca } = connection;
        let address = Address::parse(target)?;
        let scheme = if tls_ca.is_empty() { "http" } else { "https" };
        let uri = format!("{scheme}://{}", address.authority());
        let options = |error: &dyn std::fmt::Display| Error::Options(format!("target {target}: {error}"));
        let mut endpoint = Endpoint::from_shared(uri)
            .map_err(|error| options(&error))?
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES);
        if !tls_ca.is_empty() {
            let pem = fs::read(tls_ca).map_err(|error| Error::Options(format!("tls_ca {tls_ca}: {error}")))?;
            let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
            endpoint = endpoint.tls_config(tls).map_err(|error| options(&error))?;
        }
        Ok(Self {
            endpoint,
            connector: Connector::new(address, connect_timeout),
            token: bearer(token)?,
            connect_timeout,
        })
    }

    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// A connection of its own, made by its first call and remade by the first after it broke.
    pub fn connect(&self) -> Stub {
        self.stub(self.channel(), false)
    }

    /// As [`Self::connect`], and the same connection for the user.
    pub fn connect_for_two(&self) -> (Stub, Stub) {
        let channel = self.channel();
        (self.stub(channel.clone(), false), self.stub(channel, true))
    }

    fn channel(&self) -> Channel {
        self.endpoint.connect_with_connector_lazy(self.connector.clone())
    }

    fn stub(&self, channel: Channel, traced: bool) -> Stub {
        // The service bounds the values.
        CoordinatorServiceClient::with_interceptor(channel, Bearer { token: self.token.clone(), traced })
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX)
    }
}

fn bearer(token: &str) -> Result<Option<MetadataValue<Ascii>>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    let mut value = MetadataValue::try_from(format!("Bearer {token}"))
        .map_err(|_| Error::Options("token: is no header value: use printable ASCII".to_owned()))?;
    value.set_sensitive(true);
    Ok(Some(value))
}
