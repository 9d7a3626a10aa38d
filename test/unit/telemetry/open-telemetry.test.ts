import { context, ROOT_CONTEXT } from '@opentelemetry/api';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { createLogger } from '../../../src/telemetry/logger.js';
import { NamespaceSeries } from '../../../src/telemetry/namespace-series.js';
import { otlpMetricReader, startOpenTelemetry } from '../../../src/telemetry/open-telemetry.js';
import { ManualClock } from '../../support/manual-clock.js';
import { OtlpReceiver } from '../../support/otlp/receiver.js';

const log = createLogger('silent');
let receiver: OtlpReceiver;

beforeAll(async () => {
  receiver = await OtlpReceiver.start();
  for (const [name, value] of Object.entries(receiver.env)) vi.stubEnv(name, value);
});
afterAll(() => {
  vi.unstubAllEnvs();
  receiver.stop();
});

it('a stop sends the collected spans, with the names of the environment', async () => {
  vi.stubEnv('OTEL_SERVICE_NAME', 'the cache of shop');
  const { tracer, stop } = await startOpenTelemetry('1.2.3', log);
  tracer.startSpan('one').end();
  await stop();
  expect(receiver.named('one')).toMatchObject([
    { resource: { 'service.name': 'the cache of shop', 'service.version': '1.2.3' } },
  ]);
});

it('spans are counted as sent, failed or dropped', async () => {
  vi.stubEnv('OTEL_BSP_MAX_QUEUE_SIZE', '4');
  vi.stubEnv('OTEL_BSP_MAX_EXPORT_BATCH_SIZE', '4');
  const few = await startOpenTelemetry('1.2.3', log);
  expect(Object.fromEntries(await few.spans())).toEqual({ sent: 0, failed: 0, dropped: 0 });
  few.tracer.startSpan('sent').end();
  await few.stop();
  expect(Object.fromEntries(await few.spans())).toMatchObject({ failed: 0, dropped: 0 });

  vi.stubEnv('OTEL_EXPORTER_OTLP_ENDPOINT', 'http://127.0.0.1:1');
  vi.stubEnv('OTEL_EXPORTER_OTLP_TIMEOUT', '100');
  const many = await startOpenTelemetry('1.2.3', log);
  for (let at = 0; at < 20; at += 1) many.tracer.startSpan('too much').end();
  expect((await many.spans()).get('dropped')).toBeGreaterThan(0);
  await expect.poll(async () => (await many.spans()).get('failed')).toBeGreaterThan(0);
  await many.stop();
});

it('no context is kept across calls, because it would belong to none of them', async () => {
  const { stop } = await startOpenTelemetry('1.2.3', log);
  const inside = context.with(ROOT_CONTEXT.setValue(Symbol('mine'), 1), () => context.active());
  expect(inside).toBe(ROOT_CONTEXT);
  await stop();
});

it.each(['grpc', 'http/protobuf', 'http/json'] as const)(
  'there is a metric reader for %s',
  async (protocol) => {
    const reader = await otlpMetricReader(
      { protocol, everyMs: 60_000, timeoutMs: 1_000 },
      new NamespaceSeries(new ManualClock()),
    );
    expect(reader.selectAggregationTemporality).toBeTypeOf('function');
  },
);
