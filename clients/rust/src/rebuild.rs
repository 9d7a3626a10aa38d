//! A user's rebuild, on bytes.
use std::{future::Future, panic::AssertUnwindSafe, sync::Arc};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};

use crate::{
    asking::served,
    codec::Codec,
    core::Core,
    error::{Error, RebuildError},
    failure::failure_of,
    held_lease::HeldLease,
    lease::Lease,
    options::{Options, Revalidate},
    v1,
};

/// Makes the bytes anew; none where the source has nothing.
pub(crate) type RebuildBytes =
    Arc<dyn Fn(Lease) -> BoxFuture<'static, Result<Option<Bytes>, RebuildError>> + Send + Sync>;

/// Reads what is told and writes what is made with the user's codec. A panic is a failure like any other.
pub(crate) fn on_bytes<C, F, R>(codec: Arc<C>, rebuild: F) -> RebuildBytes
where
    C: Codec,
    F: Fn(Lease<C::Value>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Option<C::Value>, RebuildError>> + Send + 'static,
{
    let rebuild = Arc::new(rebuild);
    Arc::new(move |lease| {
        let (codec, rebuild) = (codec.clone(), rebuild.clone());
        let made = async move {
            let value = rebuild(lease.read(&*codec)).await?;
            Ok(value.map(|value| codec.encode(value)).transpose()?)
        };
        AssertUnwindSafe(made)
            .catch_unwind()
            .map(|ended| ended.unwrap_or_else(|_| Err("the rebuild panicked".into())))
            .boxed()
    })
}

/// How a rebuild under a lease ended, if not with a failure.
pub(crate) enum Rebuilt {
    Value(Option<Bytes>),
    /// It gave up because its lease was lost: somebody else may have the value by now.
    LeaseLost(RebuildError),
}

/// Rebuilds and hands the result over. An error is the rebuild's, after the waiters were told. The result counts for
/// its own caller whatever became of the publish.
pub(crate) async fn rebuild_under(mut lease: HeldLease, rebuild: &RebuildBytes) -> Result<Rebuilt, Error> {
    let rebuilding = rebuild(lease.told().clone());
    let rebuilding = lease.begin_span().within(rebuilding);
    match rebuilding.await {
        Ok(value) => {
            lease.hand_over(value.clone()).await?;
            Ok(Rebuilt::Value(value))
        }
        Err(error) if lease.told().is_lost() => {
            lease.tell_span(error.source());
            Ok(Rebuilt::LeaseLost(error))
        }
        Err(error) => {
            lease.tell_span(error.source());
            lease.give_up(failure_of(&error)).await;
            Err(Error::Rebuild(error))
        }
    }
}

/// What is served at once while the rebuild goes on behind, if there is anything and the caller does not insist on
/// the newest.
pub(crate) fn meanwhile<'a>(options: &Options, lease: &'a HeldLease) -> Option<&'a v1::Hit> {
    let may = !options.refresh && options.revalidate == Revalidate::Background;
    lease.previous().filter(|_| may)
}

/// The hit's value, while the rebuild goes on behind: it is nobody's wait, and ends by itself.
pub(crate) fn serve_and_rebuild(
    core: &Arc<Core>,
    options: &Arc<Options>,
    lease: HeldLease,
    hit: &v1::Hit,
    rebuild: RebuildBytes,
) -> Option<Bytes> {
    let (behind, about) = (core.clone(), options.clone());
    tokio::spawn(async move {
        if let Err(error) = rebuild_under(lease, &rebuild).await {
            crate::held_lease::tell_background(&behind, &about, &error);
        }
    });
    served(core, options, hit)
}
