//! Metrics with OpenTelemetry's API, which does nothing unless the application has an SDK. None contains a key, because
//! keys may be personal data, and there is no limit to them.
use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry::{
    InstrumentationScope, KeyValue, global,
    metrics::{Counter, Histogram, ObservableCounter},
};

use crate::hooks::{HitSource, Rebuilt};

/// Bounds the memory. Calls of further namespaces are counted together, as in the metrics of the service.
const NAMESPACES_MAX: usize = 100;
const OTHERS: &str = "other";
/// From an answer over the network to the longest default wait. OpenTelemetry's own are for milliseconds.
const WAIT_BOUNDS_S: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The common counts of this process's clients, because a sum must not fall when one client ends.
static COUNTED: OnceLock<Counted> = OnceLock::new();

struct Counted {
    hits: Arc<HitsByNamespace>,
    rebuilds: Counter<u64>,
    local_rebuilds: Counter<u64>,
    leases_lost: Counter<u64>,
    undecodable: Counter<u64>,
    waits: Histogram<f64>,
    _observed: ObservableCounter<u64>,
}

type HitsByNamespace = RwLock<HashMap<String, Arc<Hits>>>;

/// The hits of one namespace, as plain numbers that are read when the application collects. A near hit costs a fraction
/// of a microsecond, and a call of the SDK costs more. Fresh, then stale, for each source.
#[derive(Default)]
struct Hits([[AtomicU64; 2]; 3]);

const SOURCES: [(HitSource, &str); 3] =
    [(HitSource::Near, "near"), (HitSource::Service, "service"), (HitSource::Joined, "joined")];
const FRESHNESS: [&str; 2] = ["fresh", "stale"];

fn counted() -> &'static Counted {
    COUNTED.get_or_init(|| {
        let scope = InstrumentationScope::builder("dibs-client").with_version(env!("CARGO_PKG_VERSION")).build();
        let meter = global::meter_with_scope(scope);
        let hits: Arc<HitsByNamespace> = Arc::default();
        let observed = hits.clone();
        let counter = |name: &'static str, unit: &'static str, description: &'static str| {
            meter.u64_counter(name).with_unit(unit).with_description(description).build()
        };
        Counted {
            hits,
            rebuilds: counter("dibs.client.rebuilds", "{rebuild}", "Rebuilds under a lease, by outcome"),
            local_rebuilds: counter(
                "dibs.client.local_rebuilds",
                "{rebuild}",
                "Rebuilds without the service, because it could not be reached",
            ),
            leases_lost: counter("dibs.client.leases_lost", "{lease}", "Leases that were lost while their rebuild ran"),
            undecodable: counter("dibs.client.undecodable", "{value}", "Cached values that the codec could not read"),
            waits: meter
                .f64_histogram("dibs.client.wait.duration")
                .with_unit("s")
                .with_description("How long callers waited for another caller's rebuild")
                .with_boundaries(WAIT_BOUNDS_S.to_vec())
                .build(),
            _observed: meter
                .u64_observable_counter("dibs.client.hits")
                .with_unit("{hit}")
                .with_description("Values that this call did not rebuild")
                .with_callback(move |observer| {
                    for (namespace, hits) in &*observed.read().unwrap_or_else(PoisonError::into_inner) {
                        hits.each(|count, source, freshness| {
                            observer.observe(
                                count,
                                &[
                                    KeyValue::new("dibs.namespace", namespace.clone()),
                                    KeyValue::new("dibs.source", source),
                                    KeyValue::new("dibs.freshness", freshness),
                                ],
                            );
                        });
                    }
                })
                .build(),
        }
    })
}

impl Hits {
    fn add(&self, source: HitSource, stale: bool) {
        self.0[source as usize][usize::from(stale)].fetch_add(1, Ordering::Relaxed);
    }

    fn each(&self, mut observe: impl FnMut(u64, &'static str, &'static str)) {
        for (source, word) in SOURCES {
            for (at, freshness) in FRESHNESS.into_iter().enumerate() {
                let count = self.0[source as usize][at].load(Ordering::Relaxed);
                if count > 0 {
                    observe(count, word, freshness);
                }
            }
        }
    }
}

fn of_namespace(namespace: &str) -> Arc<Hits> {
    let hits = &counted().hits;
    if let Some(known) = hits.read().unwrap_or_else(PoisonError::into_inner).get(namespace) {
        return known.clone();
    }
    let mut hits = hits.write().unwrap_or_else(PoisonError::into_inner);
    let namespace = if hits.len() < NAMESPACES_MAX { namespace } else { OTHERS };
    hits.entry(namespace.to_owned()).or_default().clone()
}

/// The counts of one client.
#[derive(Default)]
pub(crate) struct Metrics {
    namespace: String,
    /// Of its own namespace, so that a hit needs no look-up. Set by its first call, when there is a provider.
    own: OnceLock<Arc<Hits>>,
}

impl Metrics {
    pub fn new(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), own: OnceLock::new() }
    }

    pub fn hit(&self, namespace: &str, source: HitSource, stale: bool) {
        if namespace == self.namespace {
            self.own.get_or_init(|| of_namespace(name(namespace))).add(source, stale);
        } else {
            of_namespace(name(namespace)).add(source, stale);
        }
    }

    pub fn rebuilt(&self, namespace: &str, outcome: Rebuilt) {
        let outcome = KeyValue::new(
            "dibs.outcome",
            match outcome {
                Rebuilt::Published => "published",
                Rebuilt::NotStored => "not_stored",
                Rebuilt::Failed => "failed",
                Rebuilt::Lost => "lost",
            },
        );
        counted().rebuilds.add(1, &[attribute(namespace), outcome]);
    }

    pub fn local_rebuild(&self, namespace: &str) {
        counted().local_rebuilds.add(1, &[attribute(namespace)]);
    }

    pub fn lease_lost(&self, namespace: &str) {
        counted().leases_lost.add(1, &[attribute(namespace)]);
    }

    pub fn undecodable(&self, namespace: &str) {
        counted().undecodable.add(1, &[attribute(namespace)]);
    }

    pub fn waited(&self, namespace: &str, waited: Duration) {
        counted().waits.record(waited.as_secs_f64(), &[attribute(namespace)]);
    }
}

/// The same in all metrics of a namespace, also beyond the bound.
fn attribute(namespace: &str) -> KeyValue {
    let namespace = name(namespace);
    of_namespace(namespace);
    let hits = counted().hits.read().unwrap_or_else(PoisonError::into_inner);
    let namespace = if hits.contains_key(namespace) { namespace } else { OTHERS };
    KeyValue::new("dibs.namespace", namespace.to_owned())
}

/// The empty namespace is the service's `default`.
fn name(namespace: &str) -> &str {
    if namespace.is_empty() { "default" } else { namespace }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_beyond_the_bound_have_one_name_in_every_metric() {
        let names: Vec<_> = (0..=NAMESPACES_MAX).map(|at| attribute(&at.to_string()).value).collect();
        assert_eq!(names[0].as_str(), "0");
        assert_eq!(names[NAMESPACES_MAX].as_str(), OTHERS);
        assert_eq!(attribute("0").value.as_str(), "0");
    }
}
