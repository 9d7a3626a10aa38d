//! One call of `get_or_rebuild` and its options.
use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use crate::{
    asking::{Answer, Asking, tell_hit},
    codec::{Codec, Raw},
    core::Core,
    error::{CodecError, Error, RebuildError},
    failure::panic_text,
    fetch_loop::fetch,
    hooks::{Event, HitSource},
    lease::Lease,
    lease_guard::{LeaseGuard, Leased},
    options::{OnUnavailable, Options, Read, Revalidate, Stale},
    rebuild::{anew, on_bytes},
    reentry,
    setters::setters,
};

/// A key whose TTL is not set yet.
#[must_use = "it does nothing before `ttl`"]
pub struct Key {
    pub(crate) core: Arc<Core>,
    pub(crate) key: String,
}

impl Key {
    /// How long the value is fresh: 1 ms to a year.
    pub fn ttl(self, ttl: Duration) -> GetOrRebuild {
        let Self { core, key } = self;
        let options = Options::of(&core, key, ttl);
        GetOrRebuild { core, options, codec: Raw }
    }
}

/// One call and its options; [`with`](Self::with) makes it.
#[must_use = "it does nothing before `with`, `with_lease` or `lease`"]
pub struct GetOrRebuild<C = Raw> {
    core: Arc<Core>,
    options: Options,
    codec: C,
}

impl<C: Codec> GetOrRebuild<C> {
    setters!(stale_ttl absent_ttl tags namespace wait lease_for stale read refresh revalidate stale_if_error);
    setters!(on_unavailable traceparent);

    /// Encodes and decodes the value. Default: [`Raw`].
    pub fn codec<D: Codec>(self, codec: D) -> GetOrRebuild<D> {
        GetOrRebuild { core: self.core, options: self.options, codec }
    }

    /// The value is stored as JSON.
    #[cfg(feature = "json")]
    pub fn json<T>(self) -> GetOrRebuild<crate::codec::Json<T>>
    where
        T: serde::Serialize + serde::de::DeserializeOwned + Send + 'static,
    {
        self.codec(crate::codec::Json::default())
    }

    /// The value: from the cache, from another caller's rebuild, or from `rebuild`, which at most one caller in the
    /// fleet runs at a time. None means that the source has nothing. Dropping the future leaves the call. Its lease is
    /// given back when no caller waits any more.
    ///
    /// # Errors
    /// [`Error::Rebuild`] with the error of `rebuild`; [`Error::RebuildFailed`] if another caller's rebuild failed and
    /// its back-off is running; [`Error::Busy`] if the wait ended first; [`Error::Call`] for bad input, and with
    /// [`OnUnavailable::Fail`] if the service cannot be reached; [`Error::Codec`] if the value cannot be read;
    /// [`Error::ReentrantRebuild`] in a rebuild of the same key.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn with<F, R>(self, rebuild: F) -> Result<Option<C::Value>, Error>
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<Option<C::Value>, RebuildError>> + Send + 'static,
    {
        self.with_lease(move |_| rebuild()).await
    }

    /// Like [`with`](Self::with), for a rebuild that uses its lease, or sets how its own value is stored. When the
    /// lease is lost, because the key was invalidated or the service could not be reached for too long, [`Lease::lost`]
    /// ends and the rebuild is dropped. The service is then asked again, while there is time.
    ///
    /// # Errors
    /// As [`with`](Self::with).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn with_lease<F, R>(self, rebuild: F) -> Result<Option<C::Value>, Error>
    where
        F: Fn(Lease<C::Value>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Option<C::Value>, RebuildError>> + Send + 'static,
    {
        let Self { core, options, codec } = self;
        // A value that cannot be read is asked for again, and reported then.
        if let Some(near) = &core.near
            && let Some(bytes) = near.get(&options)
            && let Ok(value) = decoded(&codec, bytes)
        {
            tell_hit(&core, &options, HitSource::Near, false);
            return Ok(value);
        }
        let codec = Arc::new(codec);
        let rebuild = on_bytes(codec.clone(), rebuild);
        let options = options.called();
        begin(&core, &options)?;
        let until = options.until();
        let bytes = fetch(&core, &options, &rebuild, until).await?;
        let error = match decoded(&*codec, bytes) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        tell_undecodable(&core, &options, &error);
        // A value of another version counts as none. Only once, because the next one may be of that version too.
        let bytes = fetch(&core, &options.anew(), &anew(rebuild, codec.clone()), until).await?;
        decoded(&*codec, bytes).map_err(Error::Codec)
    }

    /// The value, or the lease to rebuild it, for code that performs the steps itself. A stale value is the lease's
    /// [`previous`](Lease::previous). Equal calls are not joined.
    ///
    /// # Errors
    /// As [`with`](Self::with); also [`Error::Call`] whenever the service cannot be reached.
    pub async fn lease(self) -> Result<Leased<C>, Error> {
        let Self { core, options, codec } = self;
        let mut options = options.called();
        begin(&core, &options)?;
        let until = options.until();
        loop {
            match Asking::new(core.clone(), options.clone(), until).answer(None).await? {
                Answer::Lease(lease) => return Ok(Leased::Lease(LeaseGuard::new(lease, codec))),
                Answer::OutOfReach(error) => return Err(error.into()),
                Answer::Value { bytes, .. } => match decoded(&codec, bytes) {
                    Ok(value) => return Ok(Leased::Value(value)),
                    Err(error) if options.undecodable => return Err(Error::Codec(error)),
                    Err(error) => tell_undecodable(&core, &options, &error),
                },
            }
            options = options.anew();
        }
    }
}

/// Reports faults of the call before anything is sent.
pub(crate) fn begin(core: &Arc<Core>, options: &Options) -> Result<(), Error> {
    options.check()?;
    reentry::refuse_own_key(core, options)
}

/// A codec that panics has not read the value either.
pub(crate) fn decoded<C: Codec>(codec: &C, bytes: Option<Bytes>) -> Result<Option<C::Value>, CodecError> {
    let Some(bytes) = bytes else { return Ok(None) };
    match catch_unwind(AssertUnwindSafe(|| codec.decode(bytes))) {
        Ok(read) => read.map(Some).map_err(CodecError::from),
        Err(panic) => Err(Arc::from(Box::from(panic_text(&*panic).unwrap_or("the codec panicked")))),
    }
}

pub(crate) fn tell_undecodable(core: &Core, options: &Options, error: &CodecError) {
    let Options { namespace, key, .. } = options;
    core.tell(&Event::Undecodable { namespace, key, error: &**error });
}
