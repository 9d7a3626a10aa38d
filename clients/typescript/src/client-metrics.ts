import { type Attributes, type Counter, type Histogram, metrics } from '@opentelemetry/api';
import { named } from './changes.js';
import type { PublishOutcome } from './outcomes.js';
import { VERSION } from './version.js';

export type HitSource = 'near' | 'service' | 'joined';
export type RebuildOutcome = 'published' | 'not_stored' | 'failed' | 'lost';

/** The hits of one kind, as a plain number: a near hit takes less time than a call of OpenTelemetry's. */
export interface HitCount {
  value: number;
}

interface KnownHits extends HitCount {
  readonly attributes: Attributes;
}

interface Instruments {
  readonly rebuilds: Counter;
  readonly localRebuilds: Counter;
  readonly leasesLost: Counter;
  readonly undecodable: Counter;
  readonly waits: Histogram;
}

/** How many namespaces have a count of their own. A caller may name any. */
const NAMESPACES_MAX = 1_000;
const OTHER = 'other';
/** From an answer over the network to the longest default wait. OpenTelemetry's own are for milliseconds. */
const WAIT_BOUNDS_S = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const PUBLISHED: ReadonlySet<PublishOutcome> = new Set(['stored', 'stored_late', 'duplicate']);

/** Of all clients of this process, because two observations of one series would not be added up. */
const hits = new Map<string, KnownHits>();
const namespaces = new Set<string>();
let provider: unknown;
let current: Instruments | undefined;

/** The number of hits of this kind so far. */
export function hitsOf(source: HitSource, freshness: 'fresh' | 'stale', namespace: string): HitCount {
  const id = `${source}\0${freshness}\0${nameOf(namespace)}`;
  const known = hits.get(id);
  if (known !== undefined) return known;
  const attributes = {
    'dibs.source': source,
    'dibs.freshness': freshness,
    'dibs.namespace': nameOf(namespace),
  };
  const first = { value: 0, attributes };
  hits.set(id, first);
  return first;
}

export function countHit(source: HitSource, freshness: 'fresh' | 'stale', namespace: string): void {
  instruments();
  hitsOf(source, freshness, namespace).value += 1;
}

export function countRebuild(outcome: RebuildOutcome, namespace: string): void {
  instruments().rebuilds.add(1, { 'dibs.outcome': outcome, ...of(namespace) });
}

/** The outcome of a rebuild, from the result of its publish. */
export function rebuildOutcomeOf(outcome: PublishOutcome): RebuildOutcome {
  return PUBLISHED.has(outcome) ? 'published' : 'not_stored';
}

export function countLocalRebuild(namespace: string): void {
  instruments().localRebuilds.add(1, of(namespace));
}

export function countLeaseLost(namespace: string): void {
  instruments().leasesLost.add(1, of(namespace));
}

export function countUndecodable(namespace: string): void {
  instruments().undecodable.add(1, of(namespace));
}

export function recordWait(waitedMs: number, namespace: string): void {
  instruments().waits.record(waitedMs / 1_000, of(namespace));
}

/**
 * Uses the meter provider that is set now. OpenTelemetry has no meter that becomes a real one when an SDK starts, and a
 * client may be older than the SDK.
 */
export function instruments(): Instruments {
  const now = metrics.getMeterProvider();
  if (current !== undefined && now === provider) return current;
  provider = now;
  const meter = now.getMeter('dibs-client', VERSION);
  meter
    .createObservableCounter('dibs.client.hits', {
      description: 'Values that this call did not rebuild, by source',
      unit: '{hit}',
    })
    .addCallback((observer) => {
      for (const { value, attributes } of hits.values()) if (value > 0) observer.observe(value, attributes);
    });
  current = {
    rebuilds: meter.createCounter('dibs.client.rebuilds', {
      description: 'Rebuilds under a lease, by outcome',
      unit: '{rebuild}',
    }),
    localRebuilds: meter.createCounter('dibs.client.local_rebuilds', {
      description: 'Rebuilds without the service',
      unit: '{rebuild}',
    }),
    leasesLost: meter.createCounter('dibs.client.leases_lost', {
      description: 'Leases that were lost while their rebuild ran',
      unit: '{lease}',
    }),
    undecodable: meter.createCounter('dibs.client.undecodable', {
      description: 'Values that the codec could not read',
      unit: '{value}',
    }),
    waits: meter.createHistogram('dibs.client.wait.duration', {
      description: "Waits for other callers' rebuilds",
      unit: 's',
      advice: { explicitBucketBoundaries: WAIT_BOUNDS_S },
    }),
  };
  return current;
}

function of(namespace: string): Attributes {
  return { 'dibs.namespace': nameOf(namespace) };
}

function nameOf(namespace: string): string {
  const name = named(namespace);
  if (namespaces.has(name)) return name;
  if (namespaces.size >= NAMESPACES_MAX) return OTHER;
  namespaces.add(name);
  return name;
}
