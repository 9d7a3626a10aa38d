import type { Counter, Histogram, Meter } from '@opentelemetry/api';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { MeterProvider, type MetricReader } from '@opentelemetry/sdk-metrics';
import type { Observer, WaitEnd } from '../coordination/ports/observer.js';
import type { BusyReason, Degraded, LeaseEnd, PublishOutcome } from '../coordination/words/outcome.js';
import { LABELS, METRICS, OTHER_NAMESPACES } from './names.js';

/** From a tenth of a millisecond (an answer from memory) to a minute (the longest lease by default). */
const SECONDS_BUCKETS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];
/** How many namespaces labels name. Callers choose namespaces freely, and each one costs memory forever. */
const NAMESPACES_MAX = 100;
const STOP_MS_MAX = 3_000;
/** `unknown` before the first decision. */
const MODES: readonly (Degraded | 'unknown')[] = ['unknown', 'none', 'quorum_lost', 'store_lost', 'local'];

/** Figures that are read at each scrape. */
export interface Gauges {
  waiters(): number;
  leasesHeld(): number;
  nearCacheBytes(): number;
  /** The state of each lock node, by name. Empty when embedded. */
  nodeStates(): ReadonlyMap<string, string>;
  /** Every state that there is: one that is omitted keeps its last figure. */
  readonly statesOfNodes: readonly string[];
  /** Spans by what became of them, since the start. Empty without traces. */
  spans(): Promise<ReadonlyMap<string, number>>;
}

/** The metrics of one process. The coordinator and the quorum feed them. */
export class Metrics implements Observer {
  readonly #reader = new PrometheusExporter({ preventServerStart: true });
  readonly #provider: MeterProvider;
  readonly #meter: Meter;
  /** No prefix, timestamps, resource labels, target_info or scope labels. */
  readonly #serializer = new PrometheusSerializer('', false, undefined, true, true);
  readonly #namespaces = new Set<string>();
  #mode: Degraded | 'unknown' = 'unknown';
  #isStoreLate = false;

  /** Counted here and read at each scrape: a counter that hashes its labels costs more than a hit. */
  readonly #answers = new Map<string, Map<string, number>>();
  readonly #wait: Histogram;
  readonly #rebuild: Histogram;
  readonly #publish: Counter;
  readonly #vote: Histogram;
  readonly #saved: Counter;

  /** `others` read the metrics too, for example to send them to a collector. */
  constructor(others: readonly MetricReader[] = []) {
    this.#provider = new MeterProvider({ readers: [this.#reader, ...others] });
    this.#meter = this.#provider.getMeter('dibs');
    this.#wait = this.#histogram(METRICS.wait, 'How long callers waited, by what ended the wait');
    this.#rebuild = this.#histogram(METRICS.rebuild, 'How long leases were held, by how they ended');
    this.#publish = this.#meter.createCounter(METRICS.publish, {
      description: 'Publish calls, by outcome',
    });
    this.#vote = this.#histogram(METRICS.quorumVote, 'How long lock nodes took to vote, by node and vote');
    this.#saved = this.#meter.createCounter(METRICS.rebuildsSaved, {
      description: "Callers that got another caller's rebuild instead of making their own",
    });
    const answers = { description: 'GetOrLock calls, by outcome' };
    this.#meter.createObservableCounter(METRICS.getOrLock, answers).addCallback((result) => {
      for (const [namespace, counts] of this.#answers) {
        for (const [outcome, count] of counts) {
          result.observe(count, { [LABELS.namespace]: namespace, [LABELS.outcome]: outcome });
        }
      }
    });
  }

  answered(namespace: string, outcome: 'hit' | 'stale' | 'lease' | 'failed' | BusyReason): void {
    const name = this.#toldApart(namespace);
    let counts = this.#answers.get(name);
    if (counts === undefined) {
      counts = new Map();
      this.#answers.set(name, counts);
    }
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  }

  waited(namespace: string, endedBy: WaitEnd, waitedMs: number): void {
    this.#wait.record(waitedMs / 1000, this.#in(namespace, { [LABELS.endedBy]: endedBy }));
  }

  published(namespace: string, outcome: PublishOutcome, rebuildMs: number | undefined): void {
    const labels = this.#in(namespace, { [LABELS.outcome]: outcome });
    this.#publish.add(1, labels);
    if (rebuildMs !== undefined) this.#rebuild.record(rebuildMs / 1000, labels);
  }

  leaseEnded(namespace: string, end: LeaseEnd, heldMs: number): void {
    this.#rebuild.record(heldMs / 1000, this.#in(namespace, { [LABELS.outcome]: end }));
  }

  saved(namespace: string, count: number): void {
    this.#saved.add(count, this.#in(namespace, {}));
  }

  degraded(mode: Degraded): void {
    this.#mode = mode;
  }

  storeLate(late: boolean): void {
    this.#isStoreLate = late;
  }

  /** One lock node voted, or its vote is missing. */
  voted(node: string, vote: string, tookMs: number): void {
    this.#vote.record(tookMs / 1000, { [LABELS.node]: node, [LABELS.vote]: vote });
  }

  /** Call it once, when the figures exist. */
  watch(gauges: Gauges): void {
    const gauge = (name: string, description: string) =>
      this.#meter.createObservableGauge(name, { description });
    gauge(METRICS.waiters, 'Callers that wait on this replica now').addCallback((result) =>
      result.observe(gauges.waiters()),
    );
    gauge(METRICS.leasesHeld, 'Leases that this replica has granted and that run now').addCallback((result) =>
      result.observe(gauges.leasesHeld()),
    );
    gauge(METRICS.nearCacheBytes, 'Size of the near cache: values and their index').addCallback((result) =>
      result.observe(gauges.nearCacheBytes()),
    );
    this.#watchNodes(gauges);
    const spans = { description: 'Spans, by what became of them' };
    this.#meter.createObservableCounter(METRICS.spans, spans).addCallback(async (result) => {
      for (const [outcome, count] of await gauges.spans())
        result.observe(count, { [LABELS.outcome]: outcome });
    });
    gauge(METRICS.storeLate, '1 while the store owes a reply for longer than its timeout').addCallback(
      (result) => result.observe(this.#isStoreLate ? 1 : 0),
    );
    gauge(METRICS.degraded, '1 for the degradation of the last decision; none is healthy').addCallback(
      (result) => {
        for (const mode of MODES) result.observe(mode === this.#mode ? 1 : 0, { [LABELS.mode]: mode });
      },
    );
  }

  #watchNodes({ nodeStates, statesOfNodes }: Gauges): void {
    const counts = { description: 'Lock nodes, by state' };
    this.#meter.createObservableGauge(METRICS.quorumNodes, counts).addCallback((result) => {
      const states = [...nodeStates().values()];
      for (const state of states.length === 0 ? [] : statesOfNodes) {
        result.observe(states.filter((it) => it === state).length, { [LABELS.state]: state });
      }
    });
    const each = { description: '1 for the state that each lock node is in' };
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

  #histogram(name: string, description: string) {
    return this.#meter.createHistogram(name, {
      description,
      advice: { explicitBucketBoundaries: SECONDS_BUCKETS },
    });
  }

  #in(namespace: string, labels: Record<string, string>): Record<string, string> {
    return { [LABELS.namespace]: this.#toldApart(namespace), ...labels };
  }

  #toldApart(namespace: string): string {
    if (this.#namespaces.has(namespace)) return namespace;
    if (this.#namespaces.size >= NAMESPACES_MAX) return OTHER_NAMESPACES;
    this.#namespaces.add(namespace);
    return namespace;
  }
}
