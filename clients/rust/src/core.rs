//! What the calls of one client share.
use std::{sync::Arc, time::Duration};

use tokio_util::task::TaskTracker;

use crate::{
    calls::Calls, flights::Flights, hooks::Hooks, lease_registry::LeaseRegistry, links::Links,
    local_results::LocalResults, near_cache::NearCache, options::OnUnavailable, reachability::Reachability,
};

/// What the calls of one client share.
pub(crate) struct Core {
    pub calls: Calls,
    pub hooks: Hooks,
    pub leases: Arc<LeaseRegistry>,
    pub flights: Arc<Flights>,
    /// Rebuilds of this process that go without the service: one at a time for each namespace and key.
    pub local: Arc<Flights>,
    pub local_results: Arc<LocalResults>,
    pub reachability: Arc<Reachability>,
    /// Work in the background: rebuilds behind a stale value, publishes, leases on their way back.
    pub background: TaskTracker,
    pub near: Option<Arc<NearCache>>,
    pub lease_hold_max: Duration,
    pub holder: String,
    pub namespace: String,
    pub on_unavailable: OnUnavailable,
    /// None where there is no service, but the double in memory.
    pub links: Option<Arc<Links>>,
}
