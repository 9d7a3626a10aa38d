//! The outcome of a publish, in one word.
use crate::v1::{PublishOutcome, PublishResponse};

impl PublishOutcome {
    /// The value is in the store: stored now, late, or earlier by the same lease.
    pub fn is_stored(self) -> bool {
        matches!(self, Self::Stored | Self::StoredLate | Self::Duplicate)
    }
}

impl PublishResponse {
    /// The value is stored, and nothing has been invalidated since the lease.
    pub(crate) fn is_for_all(&self) -> bool {
        self.outcome().is_stored() && self.counts == Some(true)
    }
}
