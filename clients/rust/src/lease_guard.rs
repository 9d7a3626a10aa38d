//! A lease that the user handles.
use crate::{
    codec::{Codec, Raw},
    error::{Error, RebuildError},
    failure::failure_of,
    held_lease::{HeldLease, rebuilt},
    hooks::Rebuilt,
    lease::Lease,
    v1::PublishOutcome,
};

/// The answer to a request for a lease.
pub enum Leased<C: Codec = Raw> {
    /// There is a value, or, with none, the fact that the source has nothing.
    Value(Option<C::Value>),
    /// You rebuild.
    Lease(LeaseGuard<C>),
}

/// The right to rebuild one key. It is extended while this lives, and given back when this is dropped.
#[must_use = "dropped, it gives the lease back"]
pub struct LeaseGuard<C: Codec = Raw> {
    held: Box<HeldLease>,
    codec: C,
}

impl<C: Codec> LeaseGuard<C> {
    pub(crate) fn new(held: Box<HeldLease>, codec: C) -> Self {
        Self { held, codec }
    }

    /// Its fence, its reason, the previous value, and whether it is lost.
    pub fn lease(&self) -> Lease<C::Value> {
        self.held.told().clone().read(&self.codec)
    }

    /// Stores the value; none if the source has nothing. Tries up to three times more if the service cannot be reached.
    ///
    /// # Errors
    /// [`Error::Rebuild`] if the codec cannot encode the value, [`Error::Call`] if the publish failed.
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

    /// Gives the lease back with a failure. The waiters are told, and the key's back-off begins.
    pub async fn fail(self, error: impl Into<RebuildError>) {
        self.held.enter_current_trace();
        self.held.count(Rebuilt::Failed);
        self.held.give_up(failure_of(&error.into())).await;
    }
}
