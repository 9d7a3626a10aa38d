//! A lease in the user's own hands.
use crate::{
    codec::{Codec, Raw},
    error::{Error, RebuildError},
    failure::failure_of,
    held_lease::{HeldLease, rebuilt},
    hooks::Rebuilt,
    lease::Lease,
    v1::PublishOutcome,
};

/// What asking for a lease came to.
pub enum Leased<C: Codec = Raw> {
    /// There is a value, or, with none, the knowledge that the source has nothing.
    Value(Option<C::Value>),
    /// You rebuild.
    Lease(LeaseGuard<C>),
}

/// The right to rebuild one key, extended as long as this lives, and given back when it is dropped.
#[must_use = "dropped, it gives the lease back"]
pub struct LeaseGuard<C: Codec = Raw> {
    held: Box<HeldLease>,
    codec: C,
}

impl<C: Codec> LeaseGuard<C> {
    pub(crate) fn new(held: Box<HeldLease>, codec: C) -> Self {
        Self { held, codec }
    }

    /// Its fence, why it was given, the value before, and whether it is lost.
    pub fn lease(&self) -> Lease<C::Value> {
        self.held.told().clone().read(&self.codec)
    }

    /// Stores the value; none for the knowledge that the source has nothing. Tried again three times where the
    /// service cannot be reached.
    ///
    /// # Errors
    /// [`Error::Rebuild`] where the codec cannot encode the value, [`Error::Call`] where it could not be handed over.
    pub async fn publish(self, value: Option<C::Value>) -> Result<PublishOutcome, Error> {
        self.held.enter_current_trace();
        let encoded = value.map(|value| self.codec.encode(value)).transpose();
        let bytes = encoded.map_err(|error| Error::Rebuild(error.into()))?;
        let (core, options) = self.held.of();
        let (core, options) = (core.clone(), options.clone());
        let published = self.held.publish_now(bytes).await;
        let what = published.as_ref().map_or(Rebuilt::NotStored, |outcome| rebuilt(*outcome));
        core.metrics.rebuilt(&options.namespace, what);
        Ok(published?)
    }

    /// Gives the lease back with the failure: the waiters are told, and the key's back-off begins.
    pub async fn fail(self, error: impl Into<RebuildError>) {
        self.held.enter_current_trace();
        self.held.count(Rebuilt::Failed);
        self.held.give_up(failure_of(&error.into())).await;
    }
}
