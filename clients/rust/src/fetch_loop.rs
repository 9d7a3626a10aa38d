//! The whole of `get_or_rebuild`, on bytes.
use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    asking::{Answer, Asking, Begun, served, tell_hit, tell_wait},
    core::Core,
    error::{CallError, Error},
    flights::{Beside, Flight, Landed, Outcome},
    held_lease::{HeldLease, tell_background},
    hooks::{Event, HitSource},
    lease::{Lease, LeaseReason, Previous},
    local_results::may_read,
    options::{OnUnavailable, Options},
    rebuild::{RebuildBytes, meanwhile, rebuild_under, replaced, serve_and_rebuild},
    reentry,
    seat::{Next, Seat, has_time},
    turn::end_of_turn,
};

/// Asks until there is a value, a failure, or no time left. Rebuilds if it gets a lease.
pub(crate) async fn fetch(core: &Arc<Core>, options: &Arc<Options>, rebuild: &RebuildBytes, until: Instant) -> Outcome {
    loop {
        let fly = |flight| fly(core.clone(), options.clone(), rebuild.clone(), flight, until, None);
        let watched = core.calls.watches(&options.namespace);
        let seat = core.flights.board(options, watched, until, fly);
        match landed(core, options, rebuild, seat, until).await {
            Next::Return(outcome) => return outcome,
            // A key that is invalidated faster than it is rebuilt must not hold its caller forever.
            Next::AskAgain(error) if !has_time(until) => return Err(error),
            Next::AskAgain(_) => {}
        }
    }
}

/// Like [`fetch`], with an answer that comes from elsewhere instead of the first request. It joins no flight.
pub(crate) async fn fetch_begun(
    core: &Arc<Core>,
    options: &Arc<Options>,
    rebuild: RebuildBytes,
    until: Instant,
    begun: Begun,
) -> Outcome {
    let fly = |flight| fly(core.clone(), options.clone(), rebuild.clone(), flight, until, Some(begun));
    let seat = core.flights.alone(options, until, fly);
    match landed(core, options, &rebuild, seat, until).await {
        Next::Return(outcome) => outcome,
        Next::AskAgain(error) if !has_time(until) => Err(error),
        Next::AskAgain(_) => fetch(core, options, &rebuild, until).await,
    }
}

/// Waits for the flight. If that is a wait for another caller's rebuild, tells the hook.
async fn landed(core: &Core, options: &Options, rebuild: &RebuildBytes, seat: Seat, until: Instant) -> Next {
    let (late, joined, began) = (seat.is_late(), seat.is_joined(), Instant::now());
    if late {
        rebuild.waits();
    }
    let next = seat.landed(until).await;
    if joined && matches!(next, Next::Return(Ok(_))) {
        core.metrics.hit(&options.namespace, HitSource::Joined, false);
    }
    if late {
        let answered = matches!(next, Next::Return(Ok(_) | Err(Error::Rebuild(_))));
        tell_wait(core, options, began.elapsed(), answered);
    }
    next
}

async fn fly(
    core: Arc<Core>,
    options: Arc<Options>,
    rebuild: RebuildBytes,
    flight: Flight,
    until: Instant,
    begun: Option<Begun>,
) -> Landed {
    let mut asking = Asking::new(core.clone(), options.clone(), until);
    match begun {
        Some(begun) => asking.begin(begun),
        // Calls of the same turn of the runtime join before the request is sent.
        None => end_of_turn().await,
    }
    let lease = match asking.answer(Some(&flight)).await {
        Err(error) => return Landed::for_members(Err(error)),
        Ok(Answer::Value { bytes, .. }) => return Landed::for_members(Ok(bytes)),
        Ok(Answer::OutOfReach(cause)) => {
            return Landed::for_members(without_service(&core, &options, rebuild, cause, until, &flight).await);
        }
        Ok(Answer::Lease(lease)) => *lease,
    };
    // The lease is given back when it is dropped.
    if let Some(hit) = replaced(&options, &lease, &rebuild) {
        return Landed::for_members(Ok(served(&core, &options, hit)));
    }
    flight.leased(beside(&lease));
    if let Some(hit) = meanwhile(&options, &lease).cloned() {
        return Landed::for_members(Ok(serve_and_rebuild(&core, &options, lease, &hit, rebuild, &flight)));
    }
    // Not the one that cannot be read: its error would hide that of the rebuild.
    let stale = lease.previous().filter(|_| options.stale_if_error && !options.undecodable).cloned();
    match (rebuild_under(lease, &rebuild, &flight).await, stale) {
        (Landed::Ended { outcome: Err(error), .. }, Some(hit)) => {
            tell_background(&core, &options, &error);
            Landed::for_members(Ok(served(&core, &options, &hit)))
        }
        (landed, _) => landed,
    }
}

fn beside(lease: &HeldLease) -> Beside {
    match lease.told().reason() {
        LeaseReason::Refresh | LeaseReason::EarlyRefresh => Beside::Fresh,
        _ if lease.previous().is_some() => Beside::Stale,
        _ => Beside::Nothing,
    }
}

/// The service cannot be reached: runs one rebuild at a time in this process, or returns the error.
async fn without_service(
    core: &Arc<Core>,
    options: &Arc<Options>,
    rebuild: RebuildBytes,
    cause: CallError,
    until: Instant,
    flight: &Flight,
) -> Outcome {
    let kept = || core.local_results.get(options).filter(|_| may_read(options));
    // What this process has made since is newer than what its near cache has from before.
    let comes_first = options.on_unavailable == OnUnavailable::Rebuild && kept().is_some();
    if !comes_first && let Some(value) = core.near.as_ref().and_then(|near| near.get_unavailable(options)) {
        tell_hit(core, options, HitSource::Near, true);
        return Ok(value);
    }
    if options.on_unavailable == OnUnavailable::Fail {
        return Err(cause.into());
    }
    if !may_read(options) {
        core.local_results.overtake(options);
    }
    flight.rebuilds();
    loop {
        if let Some(value) = kept() {
            tell_hit(core, options, HitSource::Near, false);
            return Ok(value);
        }
        let fly = |flight| rebuild_locally(core.clone(), options.clone(), rebuild.clone(), cause.clone(), flight);
        let seat = core.local_results.running.board_local(options, fly);
        match landed(core, options, &rebuild, seat, until).await {
            Next::Return(outcome) => return outcome,
            Next::AskAgain(error) if !has_time(until) => return Err(error),
            Next::AskAgain(_) => {}
        }
    }
}

async fn rebuild_locally(
    core: Arc<Core>,
    options: Arc<Options>,
    rebuild: RebuildBytes,
    cause: CallError,
    flight: Flight,
) -> Landed {
    let Options { namespace, key, .. } = &*options;
    core.tell(&Event::LocalRebuild { namespace, key, cause: &cause });
    let told = Lease::new(0, LeaseReason::Local, Previous::Unknown, CancellationToken::new());
    let terms = told.terms.clone();
    let rebuilding = options.trace.within(rebuild.run(told));
    let outcome = reentry::inside(&core, &options, rebuilding).await.map_err(Error::Rebuild);
    if let Ok(value) = &outcome {
        core.local_results.keep(&options, &terms.of_value(), value.clone(), &flight);
    }
    Landed::Ended { outcome, for_latecomers: true }
}
