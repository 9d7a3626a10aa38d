//! The errors of calls.
use std::{collections::HashMap, error::Error as StdError, fmt, sync::Arc, time::Duration};

use tonic::Code;

use crate::{token, v1};

/// A codec's error about bytes that it cannot read.
pub(crate) type CodecError = Arc<dyn StdError + Send + Sync>;

/// Why a call has no value.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// Your own rebuild failed. The waiters got its message.
    Rebuild(RebuildError),
    /// Another caller's rebuild failed, and the key's back-off is running.
    RebuildFailed {
        /// That caller's message.
        message: String,
        /// The remaining back-off.
        retry_after: Duration,
    },
    /// The wait ended without an answer: another caller is still rebuilding, or the lock nodes could not decide.
    Busy {
        /// Why there is no answer; `Unspecified` for a reason or an outcome of a later service.
        reason: v1::BusyReason,
        /// How long to wait before a retry.
        retry_after: Duration,
        /// How long the holder has had its lease; zero if there is none.
        holder_age: Duration,
    },
    /// The rebuild of this key asks for the key itself, directly or through another key. It would wait forever.
    ReentrantRebuild {
        /// The key.
        key: String,
    },
    /// Bad input, a missing permission, or no service.
    Call(CallError),
    /// The codec can read neither the cached value nor the rebuilt one.
    Codec(CodecError),
    /// Some keys of [`get_or_rebuild_many`](crate::Client::get_or_rebuild_many) failed, each with its own error.
    Many(Arc<HashMap<String, Error>>),
    /// The client cannot be built with its options. The message names the option.
    Options(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rebuild(error) => write!(f, "{error}"),
            Self::RebuildFailed { message, .. } => f.write_str(message),
            Self::Busy { reason, retry_after, .. } => {
                let (reason, ms) = (word(reason.as_str_name(), "BUSY_REASON_"), retry_after.as_millis());
                write!(f, "no answer within the wait ({reason}); retry in {ms} ms")
            }
            Self::ReentrantRebuild { key } => write!(f, "dibs: the rebuild of \"{key}\" asks for \"{key}\" itself"),
            Self::Call(error) => write!(f, "{error}"),
            Self::Codec(error) => write!(f, "the value cannot be read: {error}"),
            Self::Many(errors) => f.write_str(&text_of(errors)),
            Self::Options(message) => f.write_str(message),
        }
    }
}

/// One error stands for all, because a thousand keys may have failed by one fault.
fn text_of(errors: &HashMap<String, Error>) -> String {
    match errors.iter().min_by_key(|(key, _)| *key) {
        Some((key, error)) => format!("{} keys failed, such as \"{key}\": {error}", errors.len()),
        None => "no key has a result".to_owned(),
    }
}

/// Why a call for several keys does not have all values. `?` turns it into an [`Error`], without the values.
#[non_exhaustive]
pub enum ManyError<T> {
    /// The call was refused before anything was sent.
    Refused(Error),
    /// Some keys failed.
    Keys {
        /// The error of each of these keys.
        errors: HashMap<String, Error>,
        /// The values of all other keys; none if the source has nothing.
        values: HashMap<String, Option<T>>,
    },
}

impl<T> From<ManyError<T>> for Error {
    fn from(error: ManyError<T>) -> Self {
        match error {
            ManyError::Refused(error) => error,
            ManyError::Keys { errors, .. } => Self::Many(Arc::new(errors)),
        }
    }
}

impl<T> fmt::Display for ManyError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => write!(f, "{error}"),
            Self::Keys { errors, .. } => f.write_str(&text_of(errors)),
        }
    }
}

impl<T> fmt::Debug for ManyError<T> {
    /// Without the values, which may be many and large.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => f.debug_tuple("Refused").field(error).finish(),
            Self::Keys { errors, .. } => f.debug_struct("Keys").field("errors", errors).finish_non_exhaustive(),
        }
    }
}

impl<T> StdError for ManyError<T> {}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Rebuild(error) => Some(&*error.source),
            Self::Call(error) => Some(error),
            Self::Codec(error) => Some(&**error),
            _ => None,
        }
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

/// A call that the service refused or did not answer. For bad input the message begins with the field and gives its
/// bounds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallError {
    /// The gRPC status code.
    pub code: Code,
    /// For people.
    pub message: String,
    /// How long to wait before a retry; none if a retry makes no sense or the service did not answer.
    pub retry_after: Option<Duration>,
}

impl CallError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: None }
    }

    /// The error of a call within a session.
    pub(crate) fn of_reply(error: v1::CallError) -> Self {
        let retry_after = error.retry_after_ms.and_then(|ms| u64::try_from(ms).ok());
        Self {
            code: Code::from(error.code),
            message: error.message,
            retry_after: retry_after.map(Duration::from_millis),
        }
    }

    /// The error of a unary call. One with a cause was made on this side: the connection broke.
    pub(crate) fn of_status(status: &tonic::Status) -> Self {
        if let Some(cause) = status.source() {
            return Self::new(Code::Unavailable, causes(cause));
        }
        let pushback = status.metadata().get("grpc-retry-pushback-ms");
        let retry_after = pushback.and_then(|ms| ms.to_str().ok()?.parse().ok());
        Self {
            code: status.code(),
            message: status.message().to_owned(),
            retry_after: retry_after.map(Duration::from_millis),
        }
    }

    /// No answer came: the service may be down, and it is unknown whether it did anything.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.retry_after.is_none() && matches!(self.code, Code::Unavailable | Code::DeadlineExceeded)
    }

    /// The service has answered with this error. Otherwise no answer came, or the client had no token to send.
    pub(crate) fn is_answer(&self) -> bool {
        let has_no_token = self.code == Code::Unauthenticated && self.message.starts_with(token::OWN_FAULT);
        !self.is_unreachable() && !has_no_token
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.code, self.message)
    }
}

impl StdError for CallError {}

/// The contract's name of an enum value, without its prefix and in lower case.
pub(crate) fn word(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_ascii_lowercase()
}

/// An error and its causes, each once.
fn causes(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

/// The error of a rebuild: any error, by `?` or `.into()`. The waiters get its message, up to 4096 bytes, so it must
/// contain no secret.
#[derive(Clone)]
pub struct RebuildError {
    source: Arc<dyn StdError + Send + Sync>,
    retry_after: Option<Duration>,
}

impl RebuildError {
    /// How long the whole fleet leaves the source alone: zero to 300 s. Default: exponential by the number of failures
    /// in a row.
    pub fn retry_after(mut self, retry_after: Duration) -> Self {
        self.retry_after = Some(retry_after);
        self
    }

    /// The error that the rebuild returned, if it is an `E`.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        self.source.downcast_ref()
    }

    pub(crate) fn source(&self) -> &(dyn StdError + 'static) {
        &*self.source
    }

    pub(crate) fn backoff(&self) -> Option<Duration> {
        self.retry_after.filter(|ms| *ms <= Duration::from_secs(300))
    }
}

impl<E: Into<Box<dyn StdError + Send + Sync>>> From<E> for RebuildError {
    fn from(error: E) -> Self {
        Self { source: Arc::from(error.into()), retry_after: None }
    }
}

impl fmt::Display for RebuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)
    }
}

impl fmt::Debug for RebuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.source)
    }
}
