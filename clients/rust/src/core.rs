//! What the calls of one client share.
use std::sync::Arc;

use crate::{
    calls::Calls,
    flights::Flights,
    hooks::Hooks,
    lease_registry::LeaseRegistry,
    link::Stub,
    options::{FlightId, OnUnavailable},
};

/// What the calls of one client share.
pub(crate) struct Core {
    pub calls: Calls,
    pub hooks: Hooks,
    pub leases: Arc<LeaseRegistry>,
    pub flights: Arc<Flights<FlightId>>,
    /// Rebuilds of this process that go without the service: one at a time for each namespace and key.
    pub local: Arc<Flights<(String, String)>>,
    pub holder: String,
    pub namespace: String,
    pub on_unavailable: OnUnavailable,
    /// None where there is no service, but the double in memory.
    pub stub: Option<Stub>,
}
