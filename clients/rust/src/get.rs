//! Reads without a rebuild.
use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use crate::{
    asking::{Answer, Asking, tell_hit},
    codec::{Codec, Raw},
    core::Core,
    error::Error,
    get_or_rebuild::{decoded, tell_undecodable},
    hooks::HitSource,
    options::{Options, Read, Stale},
    setters::setters,
};

/// A cached value, or the fact that the source has nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Found<T = Bytes> {
    /// None: the source is known to have nothing.
    pub value: Option<T>,
    /// It is past its ttl, or was marked stale.
    pub stale: bool,
}

/// One read. Set its options, then `.await` it. It never rebuilds. The result is none if nothing is cached, if the wait
/// ended before a rebuild did, if the last rebuild failed, and if the codec cannot read the value.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), dibs::Error> {
/// # let client = dibs::testing::client();
/// match client.get("user:42").await? {
///     Some(dibs::Found { value: Some(bytes), .. }) => println!("{} bytes", bytes.len()),
///     Some(_) => println!("there is no such user"),
///     None => println!("not cached"),
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Call`] for bad input, and where the service cannot be reached, unless the near cache serves then.
#[must_use = "it does nothing before `.await`"]
pub struct Get<C = Raw> {
    core: Arc<Core>,
    options: Options,
    codec: C,
}

impl Get {
    pub(crate) fn new(core: Arc<Core>, key: String) -> Self {
        // No TTL, because it stores nothing.
        let options = Options::of(&core, key, Duration::ZERO);
        let options = Options { reads_only: true, wait: Some(Duration::ZERO), ..options };
        Self { core, options, codec: Raw }
    }
}

impl<C: Codec> Get<C> {
    /// How long to wait for a running rebuild. Default: zero, which does not wait.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.options.wait = Some(wait);
        self
    }

    setters!(namespace stale read traceparent);

    /// Decodes the value. Default: [`Raw`].
    pub fn codec<D: Codec>(self, codec: D) -> Get<D> {
        Get { core: self.core, options: self.options, codec }
    }

    /// The value is stored as JSON.
    #[cfg(feature = "json")]
    pub fn json<T>(self) -> Get<crate::codec::Json<T>>
    where
        T: serde::Serialize + serde::de::DeserializeOwned + Send + 'static,
    {
        self.codec(crate::codec::Json::default())
    }

    async fn now(self) -> Result<Option<Found<C::Value>>, Error> {
        let Self { core, options, codec } = self;
        let read = |bytes, stale| match decoded(&codec, bytes) {
            Ok(value) => Some(Found { value, stale }),
            Err(error) => {
                tell_undecodable(&core, &options, &error);
                None
            }
        };
        // A value that cannot be read here may have been replaced at the service.
        if let Some(bytes) = core.near.as_ref().and_then(|near| near.get(&options))
            && let Some(found) = read(bytes, false)
        {
            tell_hit(&core, &options, HitSource::Near, false);
            return Ok(Some(found));
        }
        let called = options.clone().called();
        let until = called.until();
        match Asking::new(core.clone(), called, until).answer(None).await {
            Ok(Answer::Value { bytes, stale }) => Ok(read(bytes, stale)),
            // Not an answer for a call that only reads.
            Ok(Answer::Lease(_)) | Err(Error::Busy { .. } | Error::RebuildFailed { .. }) => Ok(None),
            Ok(Answer::OutOfReach(cause)) => {
                let near = core.near.as_ref().and_then(|near| near.get_unavailable(&options));
                let bytes = near.ok_or(cause)?;
                tell_hit(&core, &options, HitSource::Near, true);
                Ok(read(bytes, true))
            }
            Err(error) => Err(error),
        }
    }
}

impl<C: Codec> IntoFuture for Get<C> {
    type Output = Result<Option<Found<C::Value>>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.now())
    }
}
