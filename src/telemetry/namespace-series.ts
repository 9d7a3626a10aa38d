import { type Attributes, type HrTime, ValueType } from '@opentelemetry/api';
import { emptyResource } from '@opentelemetry/resources';
import {
  AggregationTemporality,
  type DataPoint,
  DataPointType,
  InstrumentType,
  type MetricData,
  type MetricProducer,
} from '@opentelemetry/sdk-metrics';
import type { Clock } from '../coordination/ports/clock.js';
import { LABELS, OTHER_NAMESPACES } from './names.js';

/** How many namespaces labels name. Callers choose namespaces freely, and each one costs memory. */
export const NAMESPACES_MAX = 100;
/** A namespace without events for this long gives its place to another. Nightly jobs keep theirs. */
export const IDLE_MS_MAX = 26 * 3_600_000;

/** A metric with a series for each namespace and, with `label`, for each of its values. */
export interface SeriesKind {
  /** What it has a series for, if that is not a namespace: a label of which the configuration names few values. */
  readonly of?: string;
  readonly name: string;
  readonly description: string;
  readonly label: string | undefined;
  /** The upper bounds of a histogram's buckets, in seconds; undefined for a counter. */
  readonly buckets: readonly number[] | undefined;
}

type TemporalityOf = (type: InstrumentType) => AggregationTemporality;
interface Figures {
  /** How many events; of a histogram, how many values. */
  readonly count: number;
  readonly sum: number;
  readonly inBuckets: readonly number[];
}
const NOTHING: Figures = { count: 0, sum: 0, inBuckets: [] };

/** One series: what has been counted since it began. */
class Series {
  count = 0;
  sum = 0;
  readonly inBuckets: number[];

  constructor(
    readonly attributes: Attributes,
    private readonly buckets: readonly number[] | undefined,
    readonly startedAt: HrTime,
  ) {
    this.inBuckets = buckets === undefined ? [] : Array.from({ length: buckets.length + 1 }, () => 0);
  }

  record(value: number): void {
    this.count += 1;
    this.sum += value;
    const { buckets = [], inBuckets } = this;
    let bucket = 0;
    while (bucket < buckets.length && value > (buckets[bucket] as number)) bucket += 1;
    inBuckets[bucket] = (inBuckets[bucket] ?? 0) + 1;
  }

  figures(): Figures {
    return { count: this.count, sum: this.sum, inBuckets: [...this.inBuckets] };
  }
}

class Namespace {
  readonly byKind = new Map<SeriesKind, Map<string, Series>>();
  /** Whether something happened since the figures were last read. A clock read per event would cost a hit too much. */
  touched = true;
  touchedMs = 0;
}

interface Last {
  readonly kind: SeriesKind;
  readonly namespace: string;
  readonly value: string;
  readonly of: Namespace;
  readonly series: Series;
}

/**
 * The metrics that have a series for each namespace. The SDK keeps each series forever, and callers name namespaces. Here
 * a namespace that is idle gives its place away, after its last figures have been read. Prometheus sees its series end. If
 * it comes back, they begin at zero, like those of a replica that restarted.
 *
 * The series of lock nodes are here too, because an instrument of the SDK hashes two labels for each vote: 6 µs of a
 * cold cycle.
 */
export class NamespaceSeries {
  readonly #namespaces = new Map<string, Namespace>();
  /** What {@link SeriesKind.of} names. */
  readonly #others = new Map<string, Namespace>();
  /** The series of the last event. Most events are of the same one as the event before. */
  #last: Last | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly wallMs: () => number = Date.now,
  ) {}

  add(kind: SeriesKind, namespace: string, value: string, count: number): void {
    this.#series(kind, namespace, value).count += count;
  }

  record(kind: SeriesKind, namespace: string, value: string, seconds: number): void {
    this.#series(kind, namespace, value).record(seconds);
  }

  /** For one reader. What it wants is what its exporter says: all since the start, or since it last asked. */
  producer(temporalityOf: TemporalityOf): MetricProducer {
    const told = new WeakMap<Series, Figures>();
    let lastAt: HrTime | undefined;
    return {
      collect: async () => {
        const now = hrTime(this.wallMs());
        const metrics = this.#kinds()
          .map((kind) => metricOf(kind, this.#seriesOf(kind), { temporalityOf, told, since: lastAt, now }))
          .filter(({ dataPoints }) => dataPoints.length > 0);
        lastAt = now;
        this.#endIdle();
        const scopeMetrics = metrics.length === 0 ? [] : [{ scope: { name: 'dibs' }, metrics }];
        return { resourceMetrics: { resource: emptyResource(), scopeMetrics }, errors: [] };
      },
    };
  }

  #series(kind: SeriesKind, namespace: string, value: string): Series {
    const last = this.#last;
    if (last?.kind === kind && last.namespace === namespace && last.value === value) {
      last.of.touched = true;
      return last.series;
    }
    const [name, of] = kind.of === undefined ? this.#place(namespace) : [namespace, this.#other(namespace)];
    const series = this.#seriesIn(of, name, kind, value);
    this.#last = { kind, namespace, value, of, series };
    return series;
  }

  #seriesIn(of: Namespace, name: string, kind: SeriesKind, value: string): Series {
    of.touched = true;
    let byValue = of.byKind.get(kind);
    if (byValue === undefined) {
      byValue = new Map();
      of.byKind.set(kind, byValue);
    }
    const known = byValue.get(value);
    if (known !== undefined) return known;
    const attributes: Attributes = { [kind.of ?? LABELS.namespace]: name };
    if (kind.label !== undefined) attributes[kind.label] = value;
    const series = new Series(attributes, kind.buckets, hrTime(this.wallMs()));
    byValue.set(value, series);
    return series;
  }

  #place(namespace: string): [string, Namespace] {
    const known = this.#namespaces.get(namespace);
    if (known !== undefined) return [namespace, known];
    // `other` has its own place.
    const taken = this.#namespaces.size - (this.#namespaces.has(OTHER_NAMESPACES) ? 1 : 0);
    if (taken >= NAMESPACES_MAX && namespace !== OTHER_NAMESPACES) return this.#place(OTHER_NAMESPACES);
    const fresh = new Namespace();
    this.#namespaces.set(namespace, fresh);
    return [namespace, fresh];
  }

  #other(name: string): Namespace {
    const known = this.#others.get(name);
    if (known !== undefined) return known;
    const fresh = new Namespace();
    this.#others.set(name, fresh);
    return fresh;
  }

  #all(): Namespace[] {
    return [...this.#namespaces.values(), ...this.#others.values()];
  }

  #kinds(): SeriesKind[] {
    return [...new Set(this.#all().flatMap(({ byKind }) => [...byKind.keys()]))];
  }

  #seriesOf(kind: SeriesKind): Series[] {
    return this.#all().flatMap(({ byKind }) => [...(byKind.get(kind)?.values() ?? [])]);
  }

  #endIdle(): void {
    const nowMs = this.clock.nowMs();
    for (const [name, namespace] of this.#namespaces) {
      if (namespace.touched) {
        namespace.touched = false;
        namespace.touchedMs = nowMs;
      } else if (name !== OTHER_NAMESPACES && nowMs - namespace.touchedMs >= IDLE_MS_MAX) {
        this.#namespaces.delete(name);
        this.#last = undefined;
      }
    }
  }
}

function hrTime(ms: number): HrTime {
  return [Math.floor(ms / 1_000), Math.round((ms % 1_000) * 1e6)];
}

interface Reader {
  readonly temporalityOf: TemporalityOf;
  /** What each series had when this reader last asked. */
  readonly told: WeakMap<Series, Figures>;
  readonly since: HrTime | undefined;
  readonly now: HrTime;
}

function metricOf(kind: SeriesKind, all: readonly Series[], reader: Reader): MetricData {
  const isHistogram = kind.buckets !== undefined;
  const type = isHistogram ? InstrumentType.HISTOGRAM : InstrumentType.COUNTER;
  const aggregationTemporality = reader.temporalityOf(type);
  const isDelta = aggregationTemporality === AggregationTemporality.DELTA;
  const points = all.flatMap((series) => pointOf(series, isDelta, reader));
  const { name, description } = kind;
  const metric = {
    descriptor: { name, description, unit: '', valueType: ValueType.DOUBLE },
    aggregationTemporality,
  };
  const boundaries = [...(kind.buckets ?? [])];
  return isHistogram
    ? {
        ...metric,
        dataPointType: DataPointType.HISTOGRAM,
        dataPoints: points.map((point) => {
          const { count, sum, inBuckets } = point.value;
          return { ...point, value: { count, sum, buckets: { boundaries, counts: [...inBuckets] } } };
        }),
      }
    : {
        ...metric,
        dataPointType: DataPointType.SUM,
        isMonotonic: true,
        dataPoints: points.map((point) => ({ ...point, value: point.value.count })),
      };
}

/** A reader of differences gets no point if nothing is new. */
function pointOf(series: Series, isDelta: boolean, reader: Reader): DataPoint<Figures>[] {
  const figures = series.figures();
  const point = { attributes: series.attributes, endTime: reader.now };
  if (!isDelta) return [{ ...point, startTime: series.startedAt, value: figures }];
  const before = reader.told.get(series);
  reader.told.set(series, figures);
  if (before?.count === figures.count) return [];
  const startTime = before === undefined ? series.startedAt : (reader.since ?? series.startedAt);
  return [{ ...point, startTime, value: difference(figures, before ?? NOTHING) }];
}

function difference(now: Figures, before: Figures): Figures {
  return {
    count: now.count - before.count,
    sum: now.sum - before.sum,
    inBuckets: now.inBuckets.map((count, bucket) => count - (before.inBuckets[bucket] ?? 0)),
  };
}
