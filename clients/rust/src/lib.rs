#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod asking;
mod calls;
mod client;
mod codec;
mod connecting;
mod core;
mod error;
mod failure;
mod fetch_loop;
mod flights;
mod get_or_rebuild;
mod held_lease;
mod hooks;
mod invalidate;
mod lease;
mod lease_guard;
mod lease_keeper;
mod lease_registry;
mod link;
mod links;
mod local_results;
mod memory;
mod near_cache;
mod options;
mod reachability;
mod rebuild;
mod record;
mod reentry;
mod running_time;
mod seat;
mod session;
mod session_line;
mod session_or_unary;
pub mod testing;
mod tls;
mod token;
#[cfg(feature = "opentelemetry")]
mod trace;
#[cfg(not(feature = "opentelemetry"))]
#[path = "no_trace.rs"]
mod trace;
mod transport;
mod turn;
mod unary;
mod value_terms;
mod wait_pieces;
mod watch;

/// The messages and the stub of `dibs/v1/coordinator.proto`, whose comments are the manual.
pub mod v1 {
    #![allow(missing_docs, clippy::all, rustdoc::all)]
    include!("generated/dibs.v1.rs");
}

/// Its examples are tested like those of the README.
#[cfg(doctest)]
#[doc = include_str!("../observing.md")]
mod observing_page {}

pub use client::{Client, ClientBuilder};
#[cfg(feature = "json")]
pub use codec::Json;
pub use codec::{Codec, Raw};
pub use error::{CallError, Error, RebuildError};
pub use get_or_rebuild::{GetOrRebuild, Key};
pub use hooks::Event;
pub use invalidate::Invalidate;
pub use lease::{Lease, LeaseReason, Previous};
pub use lease_guard::{LeaseGuard, Leased};
pub use link::{Bearer, Stub};
pub use options::{OnUnavailable, Read, Revalidate, Stale};
pub use tonic::Code;
pub use v1::{BusyReason, PublishOutcome};
