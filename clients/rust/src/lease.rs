//! What a rebuild gets.
use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::{codec::Codec, get_or_rebuild::decoded, v1, value_terms::SharedTerms};

/// The lease of a rebuild.
#[derive(Clone, Debug)]
pub struct Lease<T = Bytes> {
    pub(crate) fence: i64,
    pub(crate) reason: LeaseReason,
    pub(crate) previous: Previous<T>,
    pub(crate) lost: CancellationToken,
    pub(crate) terms: Arc<SharedTerms>,
}

impl<T> Lease<T> {
    /// Grows with each lease of the key. Pass it to the source if that checks fences. 0 if there is none.
    pub fn fence(&self) -> i64 {
        self.fence
    }

    /// Why the rebuild runs.
    pub fn reason(&self) -> LeaseReason {
        self.reason
    }

    /// The previous value, for a source that can answer "not modified".
    pub fn previous(&self) -> &Previous<T> {
        &self.previous
    }

    /// True: the lease is over, and a publish would most likely not be stored.
    pub fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// Ends when the lease is lost. The rebuild's future is then polled once more, so that it can react, and dropped.
    /// Nothing that it returns would be stored.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// How long this value is fresh, instead of the call's TTL: 1 ms to a year. It also applies if the source has
    /// nothing. A value with a TTL out of bounds goes to its caller and is not stored.
    pub fn set_ttl(&self, ttl: Duration) {
        self.terms.set_ttl(ttl);
    }

    /// How long after its TTL this value may be served stale, instead of the call's stale TTL.
    pub fn set_stale_ttl(&self, stale_ttl: Duration) {
        self.terms.set_stale_ttl(stale_ttl);
    }

    /// Tags that invalidate this value, instead of the call's: at most 16, each of 1 to 256 bytes.
    pub fn set_tags<N: Into<String>>(&self, tags: impl IntoIterator<Item = N>) {
        self.terms.set_tags(tags.into_iter().map(Into::into).collect());
    }

    /// Does not store this value. The caller, and the callers that joined it before the lease came, get it. The next
    /// caller rebuilds.
    pub fn do_not_store(&self) {
        self.terms.do_not_store();
    }
}

impl Lease {
    pub(crate) fn new(fence: i64, reason: LeaseReason, previous: Previous, lost: CancellationToken) -> Self {
        Self { fence, reason, previous, lost, terms: Arc::default() }
    }

    /// Decoded by the user's codec. A previous value that it cannot read counts as none, also where it panics.
    pub(crate) fn read<C: Codec>(self, codec: &C) -> Lease<C::Value> {
        let Self { fence, reason, previous, lost, terms } = self;
        let previous = match previous {
            Previous::Unknown => Previous::Unknown,
            Previous::Absent => Previous::Absent,
            Previous::Value(bytes) => match decoded(codec, Some(bytes)) {
                Ok(Some(value)) => Previous::Value(value),
                _ => Previous::Unknown,
            },
        };
        Lease { fence, reason, previous, lost, terms }
    }
}

/// The previous value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Previous<T = Bytes> {
    /// None is known, or the codec cannot read it any more.
    Unknown,
    /// The source had nothing.
    Absent,
    /// The value.
    Value(T),
}

impl Previous {
    pub(crate) fn of(hit: Option<&v1::Hit>) -> Self {
        match hit.map(|hit| &hit.payload) {
            None => Self::Unknown,
            Some(Some(v1::hit::Payload::Value(bytes))) => Self::Value(bytes.clone()),
            Some(_) => Self::Absent,
        }
    }
}

/// Why a rebuild runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
#[non_exhaustive]
pub enum LeaseReason {
    /// No value is known.
    Miss,
    /// The value is past its ttl.
    Expired,
    /// The value expires soon, and this caller was chosen at random to rebuild it early.
    EarlyRefresh,
    /// The value was invalidated.
    Invalidated,
    /// The previous holder ended without a publish.
    HolderLost,
    /// The caller asked for a refresh.
    Refresh,
    /// The service could not be reached: there is no lease.
    Local,
    /// A reason of a later service.
    Unspecified,
}

impl From<v1::LeaseReason> for LeaseReason {
    fn from(reason: v1::LeaseReason) -> Self {
        match reason {
            v1::LeaseReason::Miss => Self::Miss,
            v1::LeaseReason::Expired => Self::Expired,
            v1::LeaseReason::EarlyRefresh => Self::EarlyRefresh,
            v1::LeaseReason::Invalidated => Self::Invalidated,
            v1::LeaseReason::HolderLost => Self::HolderLost,
            v1::LeaseReason::Refresh => Self::Refresh,
            v1::LeaseReason::Unspecified => Self::Unspecified,
        }
    }
}

impl fmt::Display for LeaseReason {
    /// The contract's name in lower case: `early_refresh`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Miss => "miss",
            Self::Expired => "expired",
            Self::EarlyRefresh => "early_refresh",
            Self::Invalidated => "invalidated",
            Self::HolderLost => "holder_lost",
            Self::Refresh => "refresh",
            Self::Local => "local",
            Self::Unspecified => "unspecified",
        })
    }
}
