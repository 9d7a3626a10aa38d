//! The whole of `get_or_rebuild`, on bytes.
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::{
    asking::{Answer, Asking},
    core::Core,
    error::{CallError, Error},
    flights::Outcome,
    hooks::Event,
    lease::{Lease, LeaseReason, Previous},
    options::{OnUnavailable, Options},
    rebuild::{RebuildBytes, Rebuilt, meanwhile, rebuild_under, serve_and_rebuild},
};

/// Asks until there is a value, a failure, or no time left; rebuilding where a lease comes.
pub(crate) async fn fetch(core: Arc<Core>, options: Arc<Options>, rebuild: RebuildBytes) -> Outcome {
    let asking = Asking::new(core.clone(), options.clone());
    loop {
        let lease = match asking.answer().await? {
            Answer::Value(value) => return Ok(value),
            Answer::OutOfReach(cause) => return without_service(&core, &options, rebuild, cause).await,
            Answer::Lease(lease) => *lease,
        };
        if let Some(hit) = meanwhile(&options, &lease).cloned() {
            return Ok(serve_and_rebuild(&core, &options, lease, &hit, rebuild));
        }
        match rebuild_under(lease, &rebuild).await? {
            Rebuilt::Value(value) => return Ok(value),
            // A key that is invalidated faster than it is rebuilt must not hold its caller for ever.
            Rebuilt::LeaseLost(error) if asking.is_over() => return Err(Error::Rebuild(error)),
            Rebuilt::LeaseLost(_) => {}
        }
    }
}

/// The service cannot be reached: one rebuild at a time in this process, or the error.
async fn without_service(core: &Arc<Core>, options: &Arc<Options>, rebuild: RebuildBytes, cause: CallError) -> Outcome {
    if options.on_unavailable == OnUnavailable::Fail {
        return Err(cause.into());
    }
    let id = (options.namespace.clone(), options.key.clone());
    core.local.join(id, || rebuild_locally(core.clone(), options.clone(), rebuild, cause)).await
}

async fn rebuild_locally(core: Arc<Core>, options: Arc<Options>, rebuild: RebuildBytes, cause: CallError) -> Outcome {
    let Options { namespace, key, .. } = &*options;
    core.hooks.tell(&Event::LocalRebuild { namespace, key, cause: &cause });
    let lost = CancellationToken::new();
    let told = Lease { fence: 0, reason: LeaseReason::Local, previous: Previous::Unknown, lost };
    options.trace.within(rebuild(told)).await.map_err(Error::Rebuild)
}
