import type { Meter } from '@opentelemetry/api';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { AggregationTemporality, MeterProvider, type MetricReader } from '@opentelemetry/sdk-metrics';
import type { Observer, StoreStep, WaitEnd } from '../coordination/ports/observer.js';
import {
  type BusyReason,
  type Degraded,
  type LeaseEnd,
  type PublishOutcome,
  SHOWN_DEGRADATIONS,
  type ShownDegraded,
} from '../coordination/words/outcome.js';
import { LABELS, METRICS, WORKER_METRICS } from './names.js';
import type { NamespaceSeries, SeriesKind } from './namespace-series.js';
import { PairCounts } from './pair-counts.js';
import { serviceResource } from './service-resource.js';

/** From a tenth of a millisecond (an answer from memory) to a minute (the longest lease by default). */
const SECONDS_BUCKETS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];
const STOP_MS_MAX = 3_000;
/** Each that there is. */
const REFUSALS = [
  ['grpc', 'share'],
  ['grpc', 'connections'],
  ['grpc', 'calls'],
  ['grpc', 'handshake'],
  ['http', 'share'],
  ['http', 'connections'],
  ['http', 'requests'],
] as const;
export type Refusal = (typeof REFUSALS)[number][1];

const kind = (
  name: string,
  description: string,
  label?: string,
  buckets?: readonly number[],
): SeriesKind => ({ name, description, label, buckets });
/** What has a series for each namespace. */
const BY_NAMESPACE = {
  answers: kind(METRICS.getOrLock, 'GetOrLock calls, by outcome', LABELS.outcome),
  publishes: kind(METRICS.publish, 'Publish calls, by outcome', LABELS.outcome),
  saved: kind(METRICS.rebuildsSaved, "Callers that got another caller's rebuild instead of making their own"),
  waits: kind(
    METRICS.wait,
    'How long callers waited, by what ended the wait',
    LABELS.endedBy,
    SECONDS_BUCKETS,
  ),
  rebuilds: kind(
    METRICS.rebuild,
    'How long leases were held, by how they ended',
    LABELS.outcome,
    SECONDS_BUCKETS,
  ),
} as const;
const VOTES: SeriesKind = {
  ...kind(
    METRICS.quorumVote,
    'How long lock nodes took to vote, by node and vote',
    LABELS.vote,
    SECONDS_BUCKETS,
  ),
  of: LABELS.node,
};

/** Figures that are read at each scrape. */
export interface Gauges {
  waiters(): number;
  readonly waitersMax: number;
  longestWaitMs(): number;
  leasesHeld(): number;
  nearCacheBytes(): number;
  undecided(): boolean;
  /** The wakes of the value store are heard now. */
  wakesLive(): boolean;
  /** The state of each lock node, by name. Empty when embedded. */
  nodeStates(): ReadonlyMap<string, string>;
  /** The states of the nodes of each group, by its label: empty if there is only one group. */
  nodeGroups(): ReadonlyMap<string, readonly string[]>;
  /** Every state that there is: one that is omitted keeps its last figure. */
  readonly statesOfNodes: readonly string[];
  /** Spans by outcome, since the start. Empty without traces. */
  spans(): Promise<ReadonlyMap<string, number>>;
}

/** The metrics of one process. The coordinator and the quorum feed them. */
export class Metrics implements Omit<Observer, 'undecided' | 'publishUnanswered'> {
  readonly #reader: PrometheusExporter;
  readonly #provider: MeterProvider;
  readonly #meter: Meter;
  /** No prefix, timestamps, resource labels, target_info or scope labels. */
  readonly #serializer = new PrometheusSerializer('', false, undefined, true, true);
  #mode: ShownDegraded = 'unknown';
  #isStoreLate = false;
  /** Counted here and read at each scrape: a counter that hashes its labels costs more than a read of the store. */
  readonly #storeSteps = new PairCounts();
  readonly #callErrors = new PairCounts();
  readonly #refused = new PairCounts();
  readonly #files = new Map<string, () => boolean>();

  /** `others` read the metrics too, for example to send them to a collector. They have a producer of `series`. */
  constructor(
    private readonly series: NamespaceSeries,
    others: readonly MetricReader[] = [],
  ) {
    const metricProducers = [series.producer(() => AggregationTemporality.CUMULATIVE)];
    this.#reader = new PrometheusExporter({ preventServerStart: true, metricProducers });
    this.#provider = new MeterProvider({ resource: serviceResource(), readers: [this.#reader, ...others] });
    this.#meter = this.#provider.getMeter('dibs');
    const { step, ended, method, code, protocol, why } = LABELS;
    const steps = 'Steps at the value store, by how they ended';
    this.#counted(METRICS.storeSteps, steps, this.#storeSteps, [step, ended]);
    const errors = 'Calls that ended with an error, by code';
    this.#counted(METRICS.callErrors, errors, this.#callErrors, [method, code]);
    const refused = 'Connections that were refused or cut off, by reason';
    this.#counted(METRICS.connectionsRefused, refused, this.#refused, [protocol, why]);
    for (const [protocol, why] of REFUSALS) this.#refused.add(protocol, why, 0);
  }

  answered(namespace: string, outcome: 'hit' | 'stale' | 'lease' | 'failed' | BusyReason): void {
    this.series.add(BY_NAMESPACE.answers, namespace, outcome, 1);
  }

  storeStep(step: StoreStep, ended: 'done' | 'failed' | 'late'): void {
    this.#storeSteps.add(step, ended);
  }

  /** A call, or a key of a call for many, ended with an error. `method` and `code` are of a fixed list. */
  readonly callFailed = (method: string, code: string): void => {
    this.#callErrors.add(method, code);
  };

  connectionRefused(protocol: 'grpc' | 'http', why: Refusal): void {
    this.#refused.add(protocol, why);
  }

  waited(namespace: string, endedBy: WaitEnd, waitedMs: number): void {
    this.series.record(BY_NAMESPACE.waits, namespace, endedBy, waitedMs / 1000);
  }

  published(namespace: string, outcome: PublishOutcome, rebuildMs: number | undefined): void {
    this.series.add(BY_NAMESPACE.publishes, namespace, outcome, 1);
    if (rebuildMs !== undefined) this.leaseEnded(namespace, outcome, rebuildMs);
  }

  leaseEnded(namespace: string, end: LeaseEnd | PublishOutcome, heldMs: number): void {
    this.series.record(BY_NAMESPACE.rebuilds, namespace, end, heldMs / 1000);
  }

  saved(namespace: string, count: number): void {
    this.series.add(BY_NAMESPACE.saved, namespace, '', count);
  }

  degraded(mode: Degraded): void {
    this.#mode = mode;
  }

  storeLate(late: boolean): void {
    this.#isStoreLate = late;
  }

  /** One lock node voted, or its vote is missing. */
  voted(node: string, vote: string, tookMs: number): void {
    this.series.record(VOTES, node, vote, tookMs / 1000);
  }

  /** Call it once. What kind of replica this is. */
  is(mode: 'embedded' | 'quorum', version: string): void {
    const info = { description: 'Always 1: the mode and version of the replica' };
    this.#meter.createObservableGauge(METRICS.info, info).addCallback((result) => {
      result.observe(1, { [LABELS.mode]: mode, [LABELS.version]: version });
    });
  }

  /** Call it once, in a fleet. Settings that must be the same on every replica, in milliseconds. */
  shares(settings: Readonly<Record<string, number>>): void {
    const about = { description: 'A setting that must be the same on every replica' };
    this.#meter.createObservableGauge(METRICS.sharedSetting, about).addCallback((result) => {
      for (const [variable, ms] of Object.entries(settings))
        result.observe(ms / 1000, { [LABELS.variable]: variable });
    });
  }

  /** Whether the file of this variable was refused when it was reloaded. */
  watchFile(variable: string, isRefused: () => boolean): void {
    this.#files.set(variable, isRefused);
    if (this.#files.size > 1) return;
    const about = {
      description: '1 while the file of the variable has faults and its old content is in force',
    };
    this.#meter.createObservableGauge(METRICS.reloadRefused, about).addCallback((result) => {
      for (const [name, is] of this.#files) result.observe(is() ? 1 : 0, { [LABELS.variable]: name });
    });
  }

  /** Call it once, with TLS. When the certificates of each variable end, in milliseconds since 1970. */
  watchCertificates(ends: () => readonly { readonly variable: string; readonly endMs: number }[]): void {
    const about = {
      description: 'When the certificates in the file of the variable end, in seconds since 1970',
    };
    this.#meter.createObservableGauge(METRICS.certificateEnd, about).addCallback((result) => {
      for (const { variable, endMs } of ends()) result.observe(endMs / 1000, { [LABELS.variable]: variable });
    });
  }

  /** Call it once, when the figures exist. */
  watch(gauges: Gauges): void {
    const gauge = (name: string, description: string) =>
      this.#meter.createObservableGauge(name, { description });
    gauge(METRICS.waiters, 'Callers that are waiting on this replica').addCallback((result) =>
      result.observe(gauges.waiters()),
    );
    gauge(METRICS.waitersMax, 'How many callers may wait on this replica').addCallback((result) =>
      result.observe(gauges.waitersMax),
    );
    gauge(METRICS.longestWait, 'Age of the longest current wait, or 0').addCallback((result) =>
      result.observe(gauges.longestWaitMs() / 1000),
    );
    gauge(METRICS.leasesHeld, 'Leases that this replica has granted and that are running').addCallback(
      (result) => result.observe(gauges.leasesHeld()),
    );
    gauge(METRICS.nearCacheBytes, 'Size of the near cache: values and their index').addCallback((result) =>
      result.observe(gauges.nearCacheBytes()),
    );
    gauge(METRICS.undecided, '1 while no attempt at a lease has had a winner for a while').addCallback(
      (result) => result.observe(gauges.undecided() ? 1 : 0),
    );
    gauge(METRICS.wakesLive, '1 while wakes of the value store are heard').addCallback((result) =>
      result.observe(gauges.wakesLive() ? 1 : 0),
    );
    this.#watchNodes(gauges);
    const spans = { description: 'Spans, by outcome' };
    this.#meter.createObservableCounter(METRICS.spans, spans).addCallback(async (result) => {
      for (const [outcome, count] of await gauges.spans())
        result.observe(count, { [LABELS.outcome]: outcome });
    });
    gauge(METRICS.storeLate, '1 while the store has owed a reply for longer than its timeout').addCallback(
      (result) => result.observe(this.#isStoreLate ? 1 : 0),
    );
    gauge(METRICS.degraded, '1 for the degradation of the last decision; none is healthy').addCallback(
      (result) => {
        for (const mode of SHOWN_DEGRADATIONS)
          result.observe(mode === this.#mode ? 1 : 0, { [LABELS.mode]: mode });
      },
    );
  }

  /** Call it once, in the process that starts workers. */
  watchWorkers(workers: { serving(): number; missing(): number; restarts(): number }): void {
    const states = { description: 'Workers, by state' };
    this.#meter.createObservableGauge(WORKER_METRICS.workers, states).addCallback((result) => {
      result.observe(workers.serving(), { [LABELS.state]: 'serving' });
      result.observe(workers.missing(), { [LABELS.state]: 'missing' });
    });
    const restarts = { description: 'Times that a worker was started again after it had ended' };
    this.#meter.createObservableCounter(WORKER_METRICS.workerRestarts, restarts).addCallback((result) => {
      result.observe(workers.restarts());
    });
  }

  #watchNodes({ nodeStates, nodeGroups, statesOfNodes }: Gauges): void {
    const counts = { description: 'Lock nodes, by state, and by group if there are several' };
    this.#meter.createObservableGauge(METRICS.quorumNodes, counts).addCallback((result) => {
      for (const [label, states] of nodeGroups()) {
        const group = label === '' ? {} : { [LABELS.group]: label };
        for (const state of statesOfNodes) {
          result.observe(states.filter((it) => it === state).length, { [LABELS.state]: state, ...group });
        }
      }
    });
    const each = { description: '1 for the current state of each lock node' };
    this.#meter.createObservableGauge(METRICS.quorumNodeState, each).addCallback((result) => {
      for (const [node, is] of nodeStates()) {
        for (const state of statesOfNodes) {
          result.observe(is === state ? 1 : 0, { [LABELS.node]: node, [LABELS.state]: state });
        }
      }
    });
  }

  /** Everything in Prometheus' text format. */
  async scrape(): Promise<string> {
    const { resourceMetrics, errors } = await this.#reader.collect();
    if (errors.length > 0) throw new AggregateError(errors, 'not every metric could be read');
    return this.#serializer.serialize(resourceMetrics);
  }

  /** Sends the last figures. A collector that hangs or refuses must not delay the stop of the replica. */
  async stop(waitMsMax = STOP_MS_MAX): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, waitMsMax);
    });
    // Every figure was at /metrics too, and the collector's absence has been logged.
    await Promise.race([this.#provider.shutdown().catch(() => {}), late]);
    clearTimeout(timer);
  }

  #counted(metric: string, description: string, counts: PairCounts, labels: readonly [string, string]): void {
    const [one, other] = labels;
    this.#meter.createObservableCounter(metric, { description }).addCallback((result) => {
      counts.each((of, by, count) => result.observe(count, { [one]: of, [other]: by }));
    });
  }
}
