//! Stores a value that the caller already has.
use std::{sync::Arc, time::Duration};

use crate::{
    asking::{Answer, Asking},
    codec::{Codec, Raw},
    core::Core,
    error::{CallError, Error},
    get_or_rebuild::begin,
    invalidate::Closing,
    options::Options,
    setters::setters,
    v1::PublishOutcome,
};

/// A key whose TTL is not set yet.
#[must_use = "it does nothing before `ttl`"]
pub struct SetKey {
    pub(crate) core: Arc<Core>,
    pub(crate) key: String,
}

impl SetKey {
    /// How long the value is fresh: 1 ms to a year.
    pub fn ttl(self, ttl: Duration) -> Set {
        let Self { core, key } = self;
        let options = Options { refresh: true, ..Options::of(&core, key, ttl) };
        Set { core, options, codec: Raw }
    }
}

/// One write-through and its options; [`publish`](Self::publish) makes it.
#[must_use = "it does nothing before `publish`"]
pub struct Set<C = Raw> {
    core: Arc<Core>,
    options: Options,
    codec: C,
}

impl<C: Codec> Set<C> {
    setters!(stale_ttl tags namespace wait lease_for traceparent);

    /// Encodes the value. Default: [`Raw`].
    pub fn codec<D: Codec>(self, codec: D) -> Set<D> {
        Set { core: self.core, options: self.options, codec }
    }

    /// The value is stored as JSON.
    #[cfg(feature = "json")]
    pub fn json<T>(self) -> Set<crate::codec::Json<T>>
    where
        T: serde::Serialize + serde::de::DeserializeOwned + Send + 'static,
    {
        self.codec(crate::codec::Json::default())
    }

    /// Stores the value; none if the source has nothing. Waits for a running rebuild first, so this value comes after
    /// it. Later calls of this client get nothing older. Commit to the source first. [`PublishOutcome::is_stored`]
    /// tells whether it is stored, because an invalidation may have come in between.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), dibs::Error> {
    /// # let client = dibs::testing::client();
    /// use std::time::Duration;
    ///
    /// let outcome = client.set("user:42").ttl(Duration::from_secs(60)).publish(Some("Ada".into())).await?;
    /// assert!(outcome.is_stored());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Rebuild`] where the codec cannot encode the value; [`Error::Busy`] where the wait ended before another
    /// caller's rebuild; [`Error::RebuildFailed`] where that failed; [`Error::Call`] for bad input, and where the
    /// service cannot be reached: nothing is kept then.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn publish(self, value: Option<C::Value>) -> Result<PublishOutcome, Error> {
        let Self { core, options, codec } = self;
        let options = options.called();
        begin(&core, &options)?;
        let encoded = value.map(|value| codec.encode(value)).transpose();
        let bytes = encoded.map_err(|error| Error::Rebuild(error.into()))?;
        // Also if it fails or its caller leaves, because it may be stored.
        let _closing = Closing::of_key(core.clone(), &options.namespace, &options.key);
        match Asking::new(core, options.clone(), options.until()).answer(None).await? {
            Answer::Lease(lease) => Ok(lease.publish_now(bytes).await?),
            Answer::OutOfReach(error) => Err(error.into()),
            Answer::Value { .. } => {
                Err(CallError::new(tonic::Code::Internal, "the service answered a refresh with a value").into())
            }
        }
    }
}
