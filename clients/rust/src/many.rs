//! One call for several keys and its options.
use std::{
    collections::{HashMap, HashSet},
    future::Future,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{join, join_all},
};
use tokio::time::Instant;

use crate::{
    asking::{Begun, tell_hit},
    codec::{Codec, Raw},
    core::Core,
    error::{Error, ManyError, RebuildError},
    fetch_loop::{fetch, fetch_begun},
    gathering::{Gathering, RebuildMany},
    get_or_rebuild::{begin, decoded, tell_undecodable},
    hooks::HitSource,
    lease::Lease,
    many_answers::ManyAnswers,
    options::{OnUnavailable, Options, Read, Revalidate, Stale},
    rebuild::{anew, encoded, unless_panics},
    reentry,
    setters::setters,
};

/// Several keys whose TTL is not set yet.
#[must_use = "it does nothing before `ttl`"]
pub struct Keys {
    core: Arc<Core>,
    keys: Vec<String>,
}

impl Keys {
    pub(crate) fn new<K: Into<String>>(core: Arc<Core>, keys: impl IntoIterator<Item = K>) -> Self {
        let mut known = HashSet::new();
        let keys = keys.into_iter().map(Into::into).filter(|key: &String| known.insert(key.clone())).collect();
        Self { core, keys }
    }

    /// How long the values are fresh: 1 ms to a year.
    pub fn ttl(self, ttl: Duration) -> GetOrRebuildMany {
        let Self { core, keys } = self;
        let options = Options::of(&core, String::new(), ttl);
        GetOrRebuildMany { core, keys, options, codec: Raw }
    }
}

/// The leases of a rebuild of several keys.
#[derive(Clone, Debug)]
pub struct Leases<T = Bytes>(Arc<Vec<(String, Lease<T>)>>);

impl<T> Leases<T> {
    /// The keys to rebuild, each once.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| &**key)
    }

    /// The lease of one of these keys; none for any other key.
    pub fn get(&self, key: &str) -> Option<&Lease<T>> {
        self.0.iter().find(|(its, _)| its == key).map(|(_, lease)| lease)
    }

    /// Each key with its lease.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Lease<T>)> {
        self.0.iter().map(|(key, lease)| (&**key, lease))
    }

    /// Ends when all of them are lost.
    pub async fn lost(&self) {
        for (_, lease) in &*self.0 {
            lease.lost().await;
        }
    }
}

/// One call for several keys; [`with`](Self::with) makes it. The options apply to each key.
#[must_use = "it does nothing before `with` or `with_leases`"]
pub struct GetOrRebuildMany<C = Raw> {
    core: Arc<Core>,
    keys: Vec<String>,
    /// Without a key.
    options: Options,
    codec: C,
}

impl<C: Codec> GetOrRebuildMany<C> {
    setters!(stale_ttl absent_ttl tags namespace wait lease_for stale read refresh revalidate stale_if_error);
    setters!(on_unavailable traceparent);

    /// Encodes and decodes each value. Default: [`Raw`].
    pub fn codec<D: Codec>(self, codec: D) -> GetOrRebuildMany<D> {
        GetOrRebuildMany { core: self.core, keys: self.keys, options: self.options, codec }
    }

    /// Each value is stored as JSON.
    #[cfg(feature = "json")]
    pub fn json<T>(self) -> GetOrRebuildMany<crate::codec::Json<T>>
    where
        T: serde::Serialize + serde::de::DeserializeOwned + Send + 'static,
    {
        self.codec(crate::codec::Json::default())
    }

    /// The value of each key; none if the source has nothing. `rebuild` gets the missing keys, and returns their values
    /// as a map or a list of pairs. A key that it leaves out counts as one that the source does not have. It runs once
    /// for all leases that come at once, and again for those that come later. Accepts any number of keys; a repeated
    /// key counts once.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), dibs::Error> {
    /// # let client = dibs::testing::client();
    /// use std::time::Duration;
    ///
    /// let users = client.get_or_rebuild_many(["user:1", "user:2"]).ttl(Duration::from_secs(60));
    /// let users = users.with(|keys| async move {
    ///     // One query for all of them.
    ///     Ok(keys.into_iter().map(|key| (key, Some("Ada".into()))))
    /// });
    /// assert_eq!(users.await?.len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ManyError::Refused`] for bad options, before anything is sent. [`ManyError::Keys`] where some keys failed:
    /// with the errors of [`GetOrRebuild::with`](crate::GetOrRebuild::with) for each of them, and the other values.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn with<F, R, I>(self, rebuild: F) -> Result<HashMap<String, Option<C::Value>>, ManyError<C::Value>>
    where
        F: Fn(Vec<String>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<I, RebuildError>> + Send + 'static,
        I: IntoIterator<Item = (String, Option<C::Value>)>,
    {
        self.with_leases(move |leases| rebuild(leases.keys().map(String::from).collect())).await
    }

    /// Like [`with`](Self::with), for a rebuild that uses its leases, or sets how its own values are stored. A key
    /// whose lease is lost is asked for again separately, while there is time.
    ///
    /// # Errors
    /// As [`with`](Self::with).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn with_leases<F, R, I>(
        self,
        rebuild: F,
    ) -> Result<HashMap<String, Option<C::Value>>, ManyError<C::Value>>
    where
        F: Fn(Leases<C::Value>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<I, RebuildError>> + Send + 'static,
        I: IntoIterator<Item = (String, Option<C::Value>)>,
    {
        let Self { core, keys, options, codec } = self;
        let options = options.called();
        let of_keys: Vec<_> = keys.into_iter().map(|key| Arc::new(Options { key, ..(*options).clone() })).collect();
        options.check().map_err(ManyError::Refused)?;
        for of_key in &of_keys {
            begin(&core, of_key).map_err(ManyError::Refused)?;
        }
        let until = options.until();
        let codec = Arc::new(codec);
        let (mut values, mut asked) = (HashMap::with_capacity(of_keys.len()), Vec::new());
        for of_key in of_keys {
            match near(&core, &of_key, &*codec) {
                Some(value) => drop(values.insert(of_key.key.clone(), value)),
                None => asked.push(of_key),
            }
        }
        let rebuild = on_bytes(core.clone(), options.clone(), codec.clone(), rebuild);
        let gathering = Gathering::new(rebuild, asked.iter().map(|of_key| of_key.key.clone()));
        let mut answers = ManyAnswers::new(core.clone(), options, gathering.clone(), until);
        let asking: Vec<_> = asked
            .into_iter()
            .map(|of_key| {
                let begun = answers.of(of_key.clone());
                one(&core, of_key, &gathering, &codec, until, begun)
            })
            .collect();
        let (come, ()) = join(join_all(asking), answers.ask()).await;
        let mut errors = HashMap::new();
        for (key, its) in come {
            match its {
                Ok(value) => drop(values.insert(key, value)),
                Err(error) => drop(errors.insert(key, error)),
            }
        }
        if errors.is_empty() { Ok(values) } else { Err(ManyError::Keys { errors, values }) }
    }
}

/// The fresh value in this process's memory, if it can be read.
fn near<C: Codec>(core: &Core, options: &Options, codec: &C) -> Option<Option<C::Value>> {
    let bytes = core.near.as_ref()?.get(options)?;
    let value = decoded(codec, bytes).ok()?;
    tell_hit(core, options, HitSource::Near, false);
    Some(value)
}

/// One key, as in `get_or_rebuild`. Keys share only the first request and the rebuild.
async fn one<C: Codec>(
    core: &Arc<Core>,
    options: Arc<Options>,
    gathering: &Arc<Gathering>,
    codec: &Arc<C>,
    until: Instant,
    begun: Begun,
) -> (String, Result<Option<C::Value>, Error>) {
    let key = options.key.clone();
    let value = async {
        // Dropped with the first answer, so that no other key waits for this one.
        let rebuild = gathering.first(&key);
        let bytes = fetch_begun(core, &options, rebuild, until, begun).await?;
        let error = match decoded(&**codec, bytes) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        tell_undecodable(core, &options, &error);
        let rebuild = anew(gathering.again(&key), codec.clone());
        let bytes = fetch(core, &options.anew(), &rebuild, until).await?;
        decoded(&**codec, bytes).map_err(Error::Codec)
    };
    (key.clone(), value.await)
}

/// Decodes previous values and encodes results with the user's codec.
fn on_bytes<C, F, R, I>(core: Arc<Core>, options: Arc<Options>, codec: Arc<C>, rebuild: F) -> RebuildMany
where
    C: Codec,
    F: Fn(Leases<C::Value>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<I, RebuildError>> + Send + 'static,
    I: IntoIterator<Item = (String, Option<C::Value>)>,
{
    let rebuild = Arc::new(rebuild);
    Arc::new(move |members| {
        let (codec, rebuild) = (codec.clone(), rebuild.clone());
        let keys: Vec<_> = members.iter().map(|(key, _)| key.clone()).collect();
        let made = async move {
            let leases = members.into_iter().map(|(key, lease)| (key, lease.read(&*codec)));
            let values = rebuild(Leases(Arc::new(leases.collect()))).await?;
            let bytes = values.into_iter().map(|(key, value)| (key, encoded(&*codec, value)));
            Ok(Arc::new(bytes.collect()))
        };
        let inside = reentry::inside_all(&core, &options, &keys, unless_panics(made));
        options.trace.within(inside).boxed()
    })
}
