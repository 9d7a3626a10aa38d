import type { Counter, Histogram, Meter } from '@opentelemetry/api';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { MeterProvider, type MetricReader } from '@opentelemetry/sdk-metrics';
import type { Observer, StoreStep, WaitEnd } from '../coordination/ports/observer.js';
import type { BusyReason, Degraded, LeaseEnd, PublishOutcome } from '../coordination/words/outcome.js';
import { LABELS, METRICS, OTHER_NAMESPACES } from './names.js';
import { PairCounts } from './pair-counts.js';

/** From a tenth of a millisecond (an answer from memory) to a minute (the longest lease by default). */
const SECONDS_BUCKETS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];
/** How many namespaces labels name. Callers choose namespaces freely, and each one costs memory forever. */
const NAMESPACES_MAX = 100;
const STOP_MS_MAX = 3_000;
const MODES: readonly Degraded[] = ['none', 'quorum_lost', 'store_lost', 'local'];

/** Figures that are read at each scrape. */
export interface Gauges {
  waiters(): number;
  leasesHeld(): number;
  nearCacheBytes(): number;
  undecided(): boolean;
  /** Lock nodes by state. Lists every state, because an omitted one keeps its last count. Empty when embedded. */
  quorumNodes(): Iterable<readonly [state: string, count: number]>;
}

/** The metrics of one process. The coordinator and the quorum feed them. */
export class Metrics implements Omit<Observer, 'undecided' | 'publishUnanswered'> {
  readonly #reader = new PrometheusExporter({ preventServerStart: true });
  readonly #provider: MeterProvider;
  readonly #meter: Meter;
  /** No prefix, timestamps, resource labels, target_info or scope labels. */
  readonly #serializer = new PrometheusSerializer('', false, undefined, true, true);
  readonly #namespaces = new Set<string>();
  #mode: Degraded = 'none';
  #isStoreLate = false;

  /** Counted here and read at each scrape: a counter that hashes its labels costs more than a hit. */
  readonly #answers = new PairCounts();
  readonly #storeSteps = new PairCounts();
  readonly #callErrors = new PairCounts();
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
    this.#counted(METRICS.getOrLock, 'GetOrLock calls, by outcome', this.#answers, 'namespace', 'outcome');
    this.#counted(
      METRICS.storeSteps,
      'Steps at the value store, by how they ended',
      this.#storeSteps,
      'step',
      'ended',
    );
    this.#counted(
      METRICS.callErrors,
      'Calls that ended with an error, by code',
      this.#callErrors,
      'method',
      'code',
    );
  }

  answered(namespace: string, outcome: 'hit' | 'stale' | 'lease' | 'failed' | BusyReason): void {
    this.#answers.add(this.#toldApart(namespace), outcome);
  }

  storeStep(step: StoreStep, ended: 'done' | 'failed' | 'late'): void {
    this.#storeSteps.add(step, ended);
  }

  /** A call, or a key of a call for many, ended with an error. `method` and `code` are of a fixed list. */
  readonly callFailed = (method: string, code: string): void => {
    this.#callErrors.add(method, code);
  };

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

  /** Call it once. What kind of replica this is. */
  is(mode: 'embedded' | 'quorum', version: string): void {
    const info = { description: 'Always 1: the mode and version of the replica' };
    this.#meter.createObservableGauge(METRICS.info, info).addCallback((result) => {
      result.observe(1, { [LABELS.mode]: mode, [LABELS.version]: version });
    });
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
    gauge(METRICS.undecided, '1 while no attempt at a lease has had a winner for a while').addCallback(
      (result) => result.observe(gauges.undecided() ? 1 : 0),
    );
    gauge(METRICS.quorumNodes, 'Lock nodes, by state').addCallback((result) => {
      for (const [state, count] of gauges.quorumNodes()) result.observe(count, { [LABELS.state]: state });
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

  #counted(
    metric: string,
    description: string,
    counts: PairCounts,
    one: keyof typeof LABELS,
    other: keyof typeof LABELS,
  ): void {
    this.#meter.createObservableCounter(metric, { description }).addCallback((result) => {
      counts.each((of, by, count) => result.observe(count, { [LABELS[one]]: of, [LABELS[other]]: by }));
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
