//! The client's token.
use std::{
    fmt, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tonic::{
    Status,
    metadata::{Ascii, MetadataValue},
};

use crate::{error::Error, misplaced};

/// How often a file is read, so that a replaced token is used within a second.
const FILE_EVERY: Duration = Duration::from_millis(500);

/// How the message begins if the client's own token cannot be sent. tonic keeps nothing else of such an error.
pub(crate) const OWN_FAULT: &str = "token: ";

pub(crate) type TokenFn = Arc<dyn Fn() -> String + Send + Sync>;
type Header = MetadataValue<Ascii>;

/// Where the client's token comes from. Neither `{:?}` nor any log shows it.
#[derive(Clone, Default)]
pub(crate) enum Token {
    #[default]
    None,
    Text(String),
    File(PathBuf),
    /// Called for each call, and for each session when it is opened.
    Function(TokenFn),
}

impl Token {
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None) || matches!(self, Self::Text(text) if text.is_empty())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_none() { "none" } else { "hidden" })
    }
}

/// The header that each call carries.
#[derive(Clone)]
pub(crate) enum Bearing {
    None,
    Fixed(Header),
    File(Arc<TokenFile>),
    Function(TokenFn),
}

impl Bearing {
    /// # Errors
    /// [`Error::Options`] where the token is no header value, or its file cannot be read.
    pub fn of(token: &Token) -> Result<Self, Error> {
        Ok(match token {
            token if token.is_none() => Self::None,
            Token::None => Self::None,
            Token::Text(text) => Self::Fixed(header(text).ok_or_else(unfit)?),
            Token::File(path) => Self::File(Arc::new(TokenFile::read(path.clone())?)),
            Token::Function(function) => Self::Function(function.clone()),
        })
    }

    pub fn header(&self) -> Result<Option<Header>, Status> {
        match self {
            Self::None => Ok(None),
            Self::Fixed(header) => Ok(Some(header.clone())),
            Self::File(file) => Ok(Some(file.header())),
            Self::Function(function) => {
                let text = catch_unwind(AssertUnwindSafe(|| function()));
                let text = text.map_err(|_| Status::unauthenticated(format!("{OWN_FAULT}its function panicked")))?;
                header(text.trim()).map(Some).ok_or_else(|| Status::unauthenticated(unfit().to_string()))
            }
        }
    }
}

/// A token in a file. It is read again regularly, and not only when its time has changed, because the next token may
/// keep that.
pub(crate) struct TokenFile {
    path: PathBuf,
    latest: Mutex<Latest>,
}

struct Latest {
    header: Header,
    read_at: Instant,
}

impl TokenFile {
    fn read(path: PathBuf) -> Result<Self, Error> {
        let header = read(&path)?;
        Ok(Self { path, latest: Mutex::new(Latest { header, read_at: Instant::now() }) })
    }

    /// A file that cannot be read, or is half written, leaves the token as it was.
    fn header(&self) -> Header {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.read_at.elapsed() >= FILE_EVERY {
            latest.read_at = Instant::now();
            if let Ok(header) = read(&self.path) {
                latest.header = header;
            }
        }
        latest.header.clone()
    }
}

fn read(path: &Path) -> Result<Header, Error> {
    let unfit = |why: String| Error::Options(format!("token_file (DIBS_TOKEN_FILE) {}: {why}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| {
        misplaced::token("token_file", "DIBS_TOKEN_FILE", path).unwrap_or_else(|| unfit(error.to_string()))
    })?;
    header(text.trim()).ok_or_else(|| unfit("it has no token of printable ASCII".to_owned()))
}

fn header(token: &str) -> Option<Header> {
    let mut header = MetadataValue::try_from(format!("Bearer {token}")).ok().filter(|_| !token.is_empty())?;
    header.set_sensitive(true);
    Some(header)
}

fn unfit() -> Error {
    Error::Options(format!("{OWN_FAULT}is not a header value: use printable ASCII"))
}
