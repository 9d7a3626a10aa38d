import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { Intent } from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { LOG } from '../../src/telemetry/log-texts.js';
import { Caller } from '../support/caller.js';
import { linesOf } from '../support/log-lines.js';
import { Replica } from '../support/replica.js';

// A collector that takes nothing, and repeats the password of each request in a long answer.

const LONG = 'x'.repeat(30_000);
let collector: Server;
let env: Record<string, string>;
let replica: Replica | undefined;

beforeAll(async () => {
  collector = createServer((request, response) => {
    request.resume().on('end', () => {
      response.writeHead(401).end(`who is ${request.headers.authorization}? ${LONG}`);
    });
  });
  await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
  env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(collector.address() as AddressInfo).port}`,
    OTEL_EXPORTER_OTLP_HEADERS: 'authorization=secret-header',
    OTEL_METRIC_EXPORT_INTERVAL: '1000',
    OTEL_BSP_SCHEDULE_DELAY: '500',
    OTEL_TRACES_SAMPLER: 'always_on',
  };
});
afterEach(() => replica?.kill());
afterAll(() => {
  collector.closeAllConnections();
  collector.close();
});

async function toldOf(more: Readonly<Record<string, string>>): Promise<string> {
  const started = await Replica.start({ ...env, ...more });
  replica = started;
  const caller = new Caller(started.target);
  await caller.getOrLock({ key: 'k', intent: Intent.INTENT_REBUILD });
  caller.close();
  const told = () => linesOf(started).filter(({ msg }) => msg === LOG.otelProblem);
  // Of two kinds where both are sent: the span's own error, and that of the metrics.
  const kinds = () => new Set(told().map(({ message }) => message));
  await expect
    .poll(() => kinds().size, { timeout: 60_000 })
    .toBeGreaterThan(more.OTEL_TRACES_EXPORTER ? 0 : 1);
  await started.kill();
  // Of the first line, only the end may have been kept.
  for (const line of started.log.trimEnd().split('\n').slice(1)) {
    expect(JSON.parse(line)).toHaveProperty('level');
  }
  expect(started.log).not.toMatch('secret-header');
  return started.log;
}

it('metrics that are not taken are logged, also without traces', async () => {
  expect(await toldOf({ OTEL_TRACES_EXPORTER: 'none' })).toMatch('metrics export failed');
});

it.each<Record<string, string>>([{}, { OTEL_LOG_LEVEL: 'debug' }])(
  'the answer of a collector is not logged: %j',
  async (more) => {
    const log = await toldOf(more);
    expect(log).toMatch(/Unauthorized \(401\)/);
    expect(log).not.toMatch(LONG.slice(0, 100));
  },
);
