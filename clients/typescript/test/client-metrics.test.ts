import { metrics } from '@opentelemetry/api';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { recordWait } from '../src/client-metrics.js';
import { json } from '../src/codec.js';
import { VERSION } from '../src/version.js';
import { FakeService, hit, lease, published, RELEASED } from './fake-service.js';
import { deferred, freshKey, Service } from './service.js';

const ttlMs = 60_000;
const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
let service: Service;
let spaces = 0;

beforeAll(async () => {
  service = await Service.start();
});
afterAll(async () => {
  await service.stop();
  metrics.disable();
});

/** Returns the points of one namespace: `rebuilds published` and its number, or the number of values in a histogram. */
async function counted(namespace: string): Promise<Record<string, number>> {
  exporter.reset();
  await reader.forceFlush();
  const [resource] = exporter.getMetrics();
  const points = (resource?.scopeMetrics ?? [])
    .filter(({ scope }) => scope.name === 'dibs-client' && scope.version === VERSION)
    .flatMap((scope) => scope.metrics)
    .flatMap(({ descriptor, dataPoints }) =>
      (dataPoints as { attributes: Record<string, unknown>; value: unknown }[])
        .filter(({ attributes }) => attributes['dibs.namespace'] === namespace)
        .map(({ attributes, value }) => {
          const { 'dibs.namespace': _, ...rest } = attributes;
          const name = [descriptor.name.replace('dibs.client.', ''), ...Object.values(rest)].join(' ');
          return [name, typeof value === 'number' ? value : (value as { count: number }).count] as const;
        }),
    );
  return Object.fromEntries(points);
}
const freshNamespace = () => `measured-${++spaces}`;

it('counts also if the SDK starts after the client', async () => {
  const namespace = freshNamespace();
  const client = service.client({ namespace });
  await client.getOrRebuild('before', () => 'v', { ttlMs });
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
  await client.getOrRebuild('after', () => 'v', { ttlMs });
  expect(await counted(namespace)).toEqual({ 'rebuilds published': 1 });
});

it('counts hits by their source, and adds up two clients', async () => {
  const namespace = freshNamespace();
  const nearCache = { maxBytes: 100_000 };
  const [one, two] = [service.client({ namespace, nearCache }), service.client({ namespace, nearCache })];
  await one.set('k', 'v', { ttlMs });
  await Promise.all([one, two].map((client) => client.get('k')));
  await vi.waitFor(async () => {
    await one.getOrRebuild('k', () => 'unused', { ttlMs });
    await two.getOrRebuildMany(['k'], () => ({}), { ttlMs });
    expect((await counted(namespace))['hits near fresh']).toBeGreaterThanOrEqual(2);
  });
  expect(await counted(namespace)).toMatchObject({ 'hits service fresh': expect.any(Number) });
});

it('counts callers that join a call, and measures waits', async () => {
  const namespace = freshNamespace();
  const [holder, other] = [service.client({ namespace }), service.client({ namespace })];
  const gate = deferred<string>();
  const begun = deferred();
  const rebuild = () => {
    begun.resolve();
    return gate.promise;
  };
  const first = holder.getOrRebuild('k', rebuild, { ttlMs });
  await begun.promise;
  const joined = holder.getOrRebuild('k', rebuild, { ttlMs });
  const waiting = other.getOrRebuild('k', rebuild, { ttlMs });
  await vi.waitFor(async () => expect((await other.explain('k')).waiters).toBe(1));
  await new Promise((resolve) => setTimeout(resolve, 20));
  gate.resolve('v');
  await Promise.all([first, joined, waiting]);
  expect(await counted(namespace)).toEqual({
    ...{ 'rebuilds published': 1, 'hits joined fresh': 1, 'hits service fresh': 1, 'wait.duration': 1 },
  });
});

it('counts rebuilds by their outcome', async () => {
  const namespace = freshNamespace();
  const client = service.client({ namespace });
  await client.getOrRebuild('failed', () => Promise.reject(new Error('down')), { ttlMs }).catch(() => {});
  await client.getOrRebuild('not stored', (context) => context.doNotStore() ?? 'v', { ttlMs });
  const begun = deferred();
  let runs = 0;
  const lost = client.getOrRebuild(
    'lost',
    async () => {
      runs += 1;
      if (runs > 1) return 'v';
      begun.resolve();
      return new Promise<string>(() => {});
    },
    { ttlMs },
  );
  await begun.promise;
  await service.client({ namespace }).invalidate({ keys: ['lost'] });
  await lost;
  expect(await counted(namespace)).toEqual({
    ...{ 'rebuilds failed': 1, 'rebuilds not_stored': 1, 'rebuilds lost': 1, 'rebuilds published': 1 },
    leases_lost: 1,
  });
});

it('counts values that cannot be decoded, and rebuilds without the service', async () => {
  const namespace = freshNamespace();
  const key = freshKey();
  await service
    .client({ namespace })
    .set(key, 'text', { ttlMs, codec: { ...json<string>(), encode: Buffer.from } });
  expect(await service.client({ namespace }).get(key)).toBeUndefined();
  const alone = service.client({ namespace, target: '127.0.0.1:1' });
  await alone.getOrRebuild(key, () => 'v', { ttlMs });
  expect(await counted(namespace)).toMatchObject({ undecodable: 1, local_rebuilds: 1 });
});

it('names the client in each call', async () => {
  const fake = await FakeService.start();
  fake.will('getOrLock', lease('t'), hit('"v"'));
  fake.will('publish', published(1, true));
  fake.will('release', RELEASED);
  await fake.client({ session: false }).getOrRebuild('k', () => 'v', { ttlMs });
  const [agent] = fake.heard[0]?.metadata.get('user-agent') ?? [];
  expect(agent).toMatch(
    new RegExp(`^dibs-client-typescript/${VERSION.replaceAll('.', '\\.')} grpc-node-js/`),
  );
  fake.stop();
});

it('records waits in buckets of seconds, up to the longest wait', async () => {
  recordWait(1_500, freshNamespace());
  exporter.reset();
  await reader.forceFlush();
  const all = exporter
    .getMetrics()
    .flatMap((resource) => resource.scopeMetrics)
    .flatMap(({ metrics }) => metrics);
  const waits = all.find(({ descriptor }) => descriptor.name === 'dibs.client.wait.duration');
  const value = waits?.dataPoints[0]?.value as { buckets: { boundaries: number[] } } | undefined;
  const boundaries = value?.buckets.boundaries ?? [];
  expect([boundaries[0], boundaries.at(-1)]).toEqual([0.01, 30]);
});
