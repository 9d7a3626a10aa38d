import { AggregationTemporality, type MetricData } from '@opentelemetry/sdk-metrics';
import { describe, expect, it } from 'vitest';
import { OTHER_NAMESPACES } from '../../../src/telemetry/names.js';
import { IDLE_MS_MAX, NAMESPACES_MAX, NamespaceSeries } from '../../../src/telemetry/namespace-series.js';
import { ManualClock } from '../../support/manual-clock.js';

const CALLS = { name: 'calls_total', description: 'calls', label: 'outcome', buckets: undefined };
const TOOK = { name: 'took_seconds', description: 'times', label: undefined, buckets: [0.1, 1] };

function trial(temporality = AggregationTemporality.CUMULATIVE) {
  const clock = new ManualClock();
  let wallMs = 10_000;
  const series = new NamespaceSeries(clock, () => wallMs);
  const producer = series.producer(() => temporality);
  const call = (namespace: string, count = 1) => series.add(CALLS, namespace, 'hit', count);
  async function collected(): Promise<MetricData[]> {
    wallMs += 1_000;
    const { resourceMetrics } = await producer.collect();
    return resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics);
  }
  /** The calls by namespace. */
  async function calls(): Promise<Record<string, unknown>> {
    const points = (await collected()).find(({ descriptor }) => descriptor.name === CALLS.name)?.dataPoints;
    return Object.fromEntries((points ?? []).map(({ attributes, value }) => [attributes.namespace, value]));
  }
  return { clock, series, call, calls, collected };
}

describe('namespaces', () => {
  it('have a series each up to the bound, and share one beyond it', async () => {
    const { call, calls } = trial();
    for (let n = 0; n < NAMESPACES_MAX; n += 1) call(`space ${n}`);
    expect(await calls()).not.toHaveProperty(OTHER_NAMESPACES);
    call('one more');
    call('and another');
    const counted = await calls();
    expect(Object.keys(counted)).toHaveLength(NAMESPACES_MAX + 1);
    expect(counted[OTHER_NAMESPACES]).toBe(2);
  });

  it('end when they have been idle for the bound, and not before', async () => {
    const { clock, call, calls } = trial();
    call('nightly');
    call('once');
    await calls();
    clock.advance(IDLE_MS_MAX - 1);
    expect(await calls()).toEqual({ nightly: 1, once: 1 });
    call('nightly');
    clock.advance(1);
    expect(await calls()).toEqual({ nightly: 2, once: 1 });
    expect(await calls()).toEqual({ nightly: 2 });
    call('once');
    expect(await calls()).toEqual({ nightly: 2, once: 1 });
  });

  it('do not end before their last counts have been read', async () => {
    const { clock, call, calls } = trial();
    call('space');
    await calls();
    call('space');
    clock.advance(2 * IDLE_MS_MAX);
    expect(await calls()).toEqual({ space: 2 });
    expect(await calls()).toEqual({ space: 2 });
  });

  it('make room for others', async () => {
    const { clock, call, calls } = trial();
    for (let n = 0; n < NAMESPACES_MAX; n += 1) call(`space ${n}`);
    call('late');
    await calls();
    clock.advance(IDLE_MS_MAX);
    await calls();
    call('late');
    expect(await calls()).toEqual({ [OTHER_NAMESPACES]: 1, late: 1 });
  });
});

describe('other labels', () => {
  it('have series that never end and take no room', async () => {
    const { clock, series, call, collected } = trial();
    const VOTES = { ...TOOK, of: 'node', label: 'vote' };
    for (let n = 0; n < NAMESPACES_MAX; n += 1) call(`space ${n}`);
    series.record(VOTES, 'one:7001', 'for', 0.5);
    series.record(VOTES, 'one:7001', 'held', 2);
    await collected();
    clock.advance(2 * IDLE_MS_MAX);
    await collected();
    series.record(VOTES, 'one:7001', 'for', 1);
    const metrics = await collected();
    expect(metrics.map(({ descriptor }) => descriptor.name)).toEqual([TOOK.name]);
    expect(metrics[0]?.dataPoints).toMatchObject([
      {
        attributes: { node: 'one:7001', vote: 'for' },
        value: { count: 2, sum: 1.5, buckets: { counts: [0, 2, 0] } },
      },
      {
        attributes: { node: 'one:7001', vote: 'held' },
        value: { count: 1, sum: 2, buckets: { counts: [0, 0, 1] } },
      },
    ]);
  });
});

describe('a reader', () => {
  it('gets all counts since the start', async () => {
    const { series, collected } = trial();
    for (const seconds of [0.1, 0.2, 5]) series.record(TOOK, 'space', '', seconds);
    const [took] = await collected();
    expect(took).toMatchObject({
      descriptor: { name: TOOK.name, description: TOOK.description },
      dataPoints: [
        {
          attributes: { namespace: 'space' },
          startTime: [10, 0],
          endTime: [11, 0],
          value: { count: 3, sum: 5.3, buckets: { boundaries: [0.1, 1], counts: [1, 1, 1] } },
        },
      ],
    });
  });

  it('gets the new counts if its exporter wants deltas', async () => {
    const { call, series, collected } = trial(AggregationTemporality.DELTA);
    call('space', 5);
    series.record(TOOK, 'space', '', 0.5);
    expect(await collected()).toHaveLength(2);
    expect(await collected()).toEqual([]);
    call('space', 2);
    series.record(TOOK, 'space', '', 2);
    const [calls, took] = await collected();
    expect(calls?.dataPoints).toMatchObject([{ value: 2, startTime: [12, 0], endTime: [13, 0] }]);
    expect(took?.dataPoints).toMatchObject([{ value: { count: 1, sum: 2, buckets: { counts: [0, 0, 1] } } }]);
  });
});
