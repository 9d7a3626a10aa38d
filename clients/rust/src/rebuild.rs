//! A user's rebuild, on bytes.
use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Either, select},
    poll,
};

use crate::{
    asking::served,
    codec::Codec,
    core::Core,
    error::{Error, RebuildError},
    failure::{failure_of, panic_text},
    flights::{Flight, Landed},
    get_or_rebuild::decoded,
    held_lease::{HeldLease, tell_background},
    hooks::Rebuilt,
    lease::Lease,
    options::{Options, Revalidate},
    reentry, v1,
};

/// Rebuilds the bytes of one key.
pub(crate) trait Rebuild: Send + Sync {
    /// None if the source has nothing.
    fn run(&self, lease: Lease) -> BoxFuture<'static, Result<Option<Bytes>, RebuildError>>;

    /// Its key waits for another caller's rebuild, so the other keys of its rebuild need not wait for it.
    fn waits(&self) {}

    /// Whether its codec is known to read these bytes.
    fn reads(&self, _: &Bytes) -> bool {
        false
    }
}

pub(crate) type RebuildBytes = Arc<dyn Rebuild>;

impl<F> Rebuild for F
where
    F: Fn(Lease) -> BoxFuture<'static, Result<Option<Bytes>, RebuildError>> + Send + Sync,
{
    fn run(&self, lease: Lease) -> BoxFuture<'static, Result<Option<Bytes>, RebuildError>> {
        self(lease)
    }
}

/// A rebuild whose codec is asked what it can read.
struct Reading<C> {
    rebuild: RebuildBytes,
    codec: Arc<C>,
}

impl<C: Codec> Rebuild for Reading<C> {
    fn run(&self, lease: Lease) -> BoxFuture<'static, Result<Option<Bytes>, RebuildError>> {
        self.rebuild.run(lease)
    }

    fn waits(&self) {
        self.rebuild.waits();
    }

    fn reads(&self, bytes: &Bytes) -> bool {
        decoded(&*self.codec, Some(bytes.clone())).is_ok()
    }
}

/// For a value that its codec could not read.
pub(crate) fn anew<C: Codec>(rebuild: RebuildBytes, codec: Arc<C>) -> RebuildBytes {
    Arc::new(Reading { rebuild, codec })
}

/// Decodes the previous value and encodes the result with the user's codec. A panic is a failure like any other.
pub(crate) fn on_bytes<C, F, R>(codec: Arc<C>, rebuild: F) -> RebuildBytes
where
    C: Codec,
    F: Fn(Lease<C::Value>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Option<C::Value>, RebuildError>> + Send + 'static,
{
    let rebuild = Arc::new(rebuild);
    Arc::new(move |lease: Lease| {
        let (codec, rebuild) = (codec.clone(), rebuild.clone());
        let made = async move {
            let value = rebuild(lease.read(&*codec)).await?;
            Ok(value.map(|value| codec.encode(value)).transpose()?)
        };
        unless_panics(made).boxed()
    })
}

/// A panic is a failure like any other.
pub(crate) async fn unless_panics<T>(made: impl Future<Output = Result<T, RebuildError>>) -> Result<T, RebuildError> {
    let ended = AssertUnwindSafe(made).catch_unwind().await;
    ended.unwrap_or_else(|panic| Err(of_panic(panic_text(&*panic))))
}

/// For one value of several: if the codec panics, the others are not to blame.
pub(crate) fn encoded<C: Codec>(codec: &C, value: Option<C::Value>) -> Result<Option<Bytes>, RebuildError> {
    match catch_unwind(AssertUnwindSafe(|| value.map(|value| codec.encode(value)).transpose())) {
        Ok(bytes) => Ok(bytes?),
        Err(panic) => Err(of_panic(panic_text(&*panic))),
    }
}

fn of_panic(text: Option<&str>) -> RebuildError {
    match text {
        Some(text) => format!("the rebuild panicked: {text}").into(),
        None => "the rebuild panicked".into(),
    }
}

/// Rebuilds and publishes the result, which counts for the callers that came before the lease even if the publish
/// fails. From then on the flight accepts no callers: a result that is stored, then invalidated, and then answered must
/// not reach a caller that came after the invalidation.
pub(crate) async fn rebuild_under(mut lease: HeldLease, rebuild: &RebuildBytes, flight: &Flight) -> Landed {
    let told = lease.told().clone();
    let (core, options) = lease.of();
    let rebuilding = reentry::inside(core, options, rebuild.run(told.clone()));
    let rebuilding = lease.begin_span().within(rebuilding);
    let made = unless_lost(rebuilding, &told).await;
    flight.close();
    match made {
        made if told.is_lost() => {
            lease.count(Rebuilt::Lost);
            let error = made.and_then(Result::err);
            if let Some(error) = &error {
                lease.tell_span(error.source());
            }
            Landed::LeaseLost(error)
        }
        // The lease is given back when it is dropped.
        Some(Ok(value)) if told.terms.of_value().do_not_store => {
            lease.count(Rebuilt::NotStored);
            Landed::for_members(Ok(value))
        }
        Some(Ok(value)) => {
            let for_latecomers = lease.hand_over(value.clone()).await;
            Landed::Ended { outcome: Ok(value), for_latecomers }
        }
        Some(Err(error)) => {
            lease.count(Rebuilt::Failed);
            lease.tell_span(error.source());
            let for_latecomers = lease.give_up(failure_of(&error)).await;
            Landed::Ended { outcome: Err(Error::Rebuild(error)), for_latecomers }
        }
        None => {
            lease.count(Rebuilt::Lost);
            Landed::LeaseLost(None)
        }
    }
}

/// The result; nothing if the lease is lost first. Otherwise a hanging rebuild would hold its callers after others have
/// long had the value.
async fn unless_lost<T>(rebuilding: impl Future<Output = T>, told: &Lease) -> Option<T> {
    let (rebuilding, lost) = (pin!(rebuilding), pin!(told.lost()));
    match select(rebuilding, lost).await {
        Either::Left((made, _)) => Some(made),
        // It is told, and can react, before it is dropped.
        Either::Right(((), mut rebuilding)) => match poll!(&mut rebuilding) {
            std::task::Poll::Ready(made) => Some(made),
            std::task::Poll::Pending => None,
        },
    }
}

/// The fresh value that another process has put in place of one that cannot be read.
pub(crate) fn replaced<'a>(options: &Options, lease: &'a HeldLease, rebuild: &RebuildBytes) -> Option<&'a v1::Hit> {
    lease.previous().filter(|hit| {
        let is_read = match &hit.payload {
            Some(v1::hit::Payload::Value(bytes)) => rebuild.reads(bytes),
            _ => true,
        };
        options.undecodable && hit.freshness() == v1::Freshness::Fresh && is_read
    })
}

/// The value to serve at once while the rebuild continues in the background, if any, unless the caller insists on the
/// newest.
pub(crate) fn meanwhile<'a>(options: &Options, lease: &'a HeldLease) -> Option<&'a v1::Hit> {
    let may = !options.refresh && options.revalidate == Revalidate::Background;
    lease.previous().filter(|_| may)
}

/// The hit's value, while the rebuild continues in the background. No caller waits for it, and it ends by itself.
pub(crate) fn serve_and_rebuild(
    core: &Arc<Core>,
    options: &Arc<Options>,
    lease: HeldLease,
    hit: &v1::Hit,
    rebuild: RebuildBytes,
    flight: &Flight,
) -> Option<Bytes> {
    let behind = flight.succeed(options, |flight| async move { rebuild_under(lease, &rebuild, &flight).await });
    let (about, its) = (core.clone(), options.clone());
    core.background.spawn(async move {
        if let Landed::Ended { outcome: Err(error), .. } = behind.await {
            tell_background(&about, &its, &error);
        }
    });
    served(core, options, hit)
}

#[cfg(test)]
mod without_token;
