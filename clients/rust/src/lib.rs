#![doc = include_str!("../README.md")]
#![warn(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod address;
mod asking;
mod calls;
mod client;
mod codec;
mod connecting;
mod core;
mod error;
mod explain;
mod failure;
mod fetch_loop;
mod flights;
mod gathering;
mod get;
mod get_or_rebuild;
mod held_lease;
mod hooks;
mod invalidate;
#[cfg(feature = "json")]
mod json_faults;
mod key_share;
mod lease;
mod lease_guard;
mod lease_keeper;
mod lease_registry;
mod link;
mod links;
mod local_results;
mod many;
mod many_answers;
mod memory;
#[cfg(feature = "opentelemetry")]
mod metrics;
#[cfg(not(feature = "opentelemetry"))]
#[path = "no_metrics.rs"]
mod metrics;
mod misplaced;
mod near_cache;
mod near_entry;
mod open_calls;
mod options;
mod outcome;
mod pool_member;
mod reachability;
mod rebuild;
mod record;
mod reentry;
mod running_time;
mod seat;
mod session;
mod session_line;
mod session_or_unary;
mod session_pool;
mod set;
mod setters;
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

/// Misuse that does not compile.
///
/// A value without a ttl:
/// ```compile_fail,E0599
/// # async fn example(client: dibs::Client) {
/// client.get_or_rebuild("k").with(|| async { Ok(Some("v".into())) }).await;
/// # }
/// ```
/// ```compile_fail,E0599
/// # async fn example(client: dibs::Client) {
/// client.set("k").publish(Some("v".into())).await;
/// # }
/// ```
///
/// A lease that is published twice:
/// ```compile_fail,E0382
/// # async fn example(guard: dibs::LeaseGuard) -> Result<(), dibs::Error> {
/// guard.publish(None).await?;
/// guard.publish(None).await?;
/// # Ok(())
/// # }
/// ```
///
/// A value of another type than the codec's:
/// ```compile_fail,E0271
/// # async fn example(client: dibs::Client) {
/// let ttl = std::time::Duration::from_secs(1);
/// client.get_or_rebuild("k").ttl(ttl).json::<u32>().with(|| async { Ok(Some("text")) }).await.unwrap();
/// # }
/// ```
///
/// A lease that is taken and silently dropped:
/// ```compile_fail
/// #![deny(unused_must_use)]
/// # fn example(guard: dibs::LeaseGuard) {
/// fn take(guard: dibs::LeaseGuard) -> dibs::LeaseGuard { guard }
/// take(guard);
/// # }
/// ```
#[cfg(doctest)]
mod misuse {}

/// Its examples are tested like those of the README.
#[cfg(doctest)]
#[doc = include_str!("../observing.md")]
mod observing_page {}

/// Its examples are tested like those of the README.
#[cfg(doctest)]
#[doc = include_str!("../calls.md")]
mod calls_page {}

pub use client::{Client, ClientBuilder};
#[cfg(feature = "json")]
pub use codec::Json;
pub use codec::{Codec, Raw};
pub use error::{CallError, Error, ManyError, RebuildError};
pub use explain::{Explain, Explanation, PastLease, RunningBackoff, RunningLease, StoredValue};
pub use get::{Found, Get};
pub use get_or_rebuild::{GetOrRebuild, Key};
pub use hooks::{Event, HitSource};
pub use invalidate::Invalidate;
pub use lease::{Lease, LeaseReason, Previous};
pub use lease_guard::{LeaseGuard, Leased};
pub use link::{Bearer, Stub};
pub use many::{GetOrRebuildMany, Keys, Leases};
pub use options::{OnUnavailable, Read, Revalidate, Stale};
pub use set::{Set, SetKey};
pub use tonic::Code;
pub use v1::{BusyReason, Degraded, LeaseEnd, PublishOutcome};
