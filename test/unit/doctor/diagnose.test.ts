import { expect, it } from 'vitest';
import { diagnose } from '../../../src/doctor/diagnose.js';
import { SystemChance } from '../../../src/system-chance.js';
import { SystemClock } from '../../../src/system-clock.js';

// With Redis: test/integration/situations/doctor.test.ts.

const lines = async (env: Record<string, string>) => {
  const tools = { env, clock: new SystemClock(), chance: new SystemChance() };
  const { mode, findings } = await diagnose(tools);
  return [mode, ...findings.map(({ part, check, result }) => `${result} of ${part}: ${check}`)];
};

it('only the configuration of an embedded replica is examined', async () => {
  expect(await lines({})).toEqual([
    'embedded',
    'ok of configuration: environment',
    'ok of configuration: mode',
    'ok of configuration: access',
  ]);
});

it('an embedded replica that other machines can reach leads to a warning', async () => {
  expect(await lines({ DIBS_LISTEN: '0.0.0.0:50051', DIBS_INSECURE: 'true' })).toContain(
    'warning of configuration: mode',
  );
});

it('a collector that the configuration does not use is not contacted', async () => {
  const unused = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1', OTEL_SDK_DISABLED: 'true' };
  expect((await lines(unused)).filter((line) => line.includes('collector'))).toEqual([]);
});

it('a collector is contacted where its exporter connects to', async () => {
  const traces = { OTEL_TRACES_EXPORTER: 'otlp', OTEL_METRICS_EXPORTER: 'none' };
  const details = async (env: Record<string, string>) => {
    const tools = { env: { ...traces, ...env }, clock: new SystemClock(), chance: new SystemChance() };
    return (await diagnose(tools)).findings.map(({ part, detail }) => `${part}: ${detail}`);
  };
  const grpc = { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' };
  expect(await details({ ...grpc, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1' })).toEqual(
    expect.arrayContaining([
      'configuration: OTEL_EXPORTER_OTLP_ENDPOINT leads to port 443 without TLS; set its port, usually 4317',
      expect.stringMatching(/^collector: 127\.0\.0\.1:443 /),
    ]),
  );
  // Without an endpoint, there is a default.
  expect(await details(grpc)).toContainEqual(expect.stringMatching(/^collector: localhost:4317 /));
});

it("an OTLP port that usually speaks the other protocol leads to a warning, as in a replica's log", async () => {
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4317' };
  expect(await lines(env)).toContain('warning of configuration: otlp');
  expect(await lines({ ...env, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' })).not.toContain(
    'warning of configuration: otlp',
  );
});
