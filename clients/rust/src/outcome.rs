//! The outcome of a publish, in one word.
use crate::v1::PublishOutcome;

impl PublishOutcome {
    /// The value is in the store: stored now, late, or earlier by the same lease.
    pub fn is_stored(self) -> bool {
        matches!(self, Self::Stored | Self::StoredLate | Self::Duplicate)
    }
}
