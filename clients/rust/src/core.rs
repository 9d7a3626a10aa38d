//! What the calls of one client share.
use std::{sync::Arc, time::Duration};

use tokio_util::task::TaskTracker;

use crate::{
    calls::Calls,
    flights::Flights,
    hooks::{Event, Hooks},
    lease_registry::LeaseRegistry,
    links::Links,
    local_results::LocalResults,
    metrics::Metrics,
    near_cache::NearCache,
    options::OnUnavailable,
    reachability::Reachability,
};

/// What the calls of one client share.
pub(crate) struct Core {
    pub calls: Calls,
    pub hooks: Hooks,
    pub metrics: Metrics,
    pub leases: Arc<LeaseRegistry>,
    pub flights: Arc<Flights>,
    pub local_results: Arc<LocalResults>,
    pub reachability: Arc<Reachability>,
    /// Background work: rebuilds behind a stale value, publishes, leases on their way back.
    pub background: TaskTracker,
    pub near: Option<Arc<NearCache>>,
    pub lease_hold_max: Duration,
    pub holder: String,
    pub namespace: String,
    pub on_unavailable: OnUnavailable,
    /// None for the double in memory, which has no service.
    pub links: Option<Arc<Links>>,
}

impl Core {
    /// Tells the user's hook and the metrics.
    pub fn tell(&self, event: &Event<'_>) {
        match event {
            Event::Hit { namespace, source, stale, .. } => self.metrics.hit(namespace, *source, *stale),
            Event::Wait { namespace, waited, .. } => self.metrics.waited(namespace, *waited),
            Event::Undecodable { namespace, .. } => self.metrics.undecodable(namespace),
            Event::LeaseLost { namespace, .. } => self.metrics.lease_lost(namespace),
            Event::LocalRebuild { namespace, .. } => self.metrics.local_rebuild(namespace),
            Event::Publish { .. } | Event::NotStorable { .. } | Event::BackgroundError { .. } => {}
        }
        self.hooks.tell(event);
    }
}
