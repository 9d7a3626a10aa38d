//! What a rebuild is told.
use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::{codec::Codec, v1, value_terms::SharedTerms};

/// What a rebuild is told of the lease under which it runs.
#[derive(Clone, Debug)]
pub struct Lease<T = Bytes> {
    pub(crate) fence: i64,
    pub(crate) reason: LeaseReason,
    pub(crate) previous: Previous<T>,
    pub(crate) lost: CancellationToken,
    pub(crate) terms: Arc<SharedTerms>,
}

impl<T> Lease<T> {
    /// Grows with each lease of the key; give it to the source, if that checks fences. 0 if there is none.
    pub fn fence(&self) -> i64 {
        self.fence
    }

    /// Why the rebuild runs.
    pub fn reason(&self) -> LeaseReason {
        self.reason
    }

    /// The value before, for a source that can say "not modified".
    pub fn previous(&self) -> &Previous<T> {
        &self.previous
    }

    /// The lease is over: what is published now will most likely not be stored.
    pub fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// Ends when the lease is lost. The rebuild's future is then polled once more, so that it can tell others, and
    /// dropped: nothing that it returns would be stored.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// How long this value is fresh, in place of the call's ttl: 1 ms to a year. It counts for the
    /// knowledge that there is nothing, too. A value whose ttl is out of bounds is its caller's, and not stored.
    pub fn set_ttl(&self, ttl: Duration) {
        self.terms.set_ttl(ttl);
    }

    /// How long after its ttl this value may be served stale, in place of what the call says.
    pub fn set_stale_ttl(&self, stale_ttl: Duration) {
        self.terms.set_stale_ttl(stale_ttl);
    }

    /// Names to invalidate this value by, in place of the call's: at most 16, each of 1 to 256 bytes.
    pub fn set_tags<N: Into<String>>(&self, tags: impl IntoIterator<Item = N>) {
        self.terms.set_tags(tags.into_iter().map(Into::into).collect());
    }

    /// The caller, and the callers that joined it before the lease came, get this value; it is not stored, and the next
    /// caller rebuilds.
    pub fn do_not_store(&self) {
        self.terms.do_not_store();
    }
}

impl Lease {
    pub(crate) fn new(fence: i64, reason: LeaseReason, previous: Previous, lost: CancellationToken) -> Self {
        Self { fence, reason, previous, lost, terms: Arc::default() }
    }

    /// What the user's codec makes of it. A value before in another format is as good as none.
    pub(crate) fn read<C: Codec>(self, codec: &C) -> Lease<C::Value> {
        let Self { fence, reason, previous, lost, terms } = self;
        let previous = match previous {
            Previous::Unknown => Previous::Unknown,
            Previous::Absent => Previous::Absent,
            Previous::Value(bytes) => codec.decode(bytes).map_or(Previous::Unknown, Previous::Value),
        };
        Lease { fence, reason, previous, lost, terms }
    }
}

/// The value before.
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
    /// The value will soon expire; this caller was drawn to rebuild it early.
    EarlyRefresh,
    /// The value was invalidated.
    Invalidated,
    /// The holder before ended without a publish.
    HolderLost,
    /// The caller asked for it.
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
    /// As in the contract, in small letters: `early_refresh`.
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
