import { describe, expect, it } from 'vitest';
import { EnvironmentReader } from '../../../src/config/environment-reader.js';
import { otlpEndpoints, otlpMismatches, readOtelEnvironment } from '../../../src/config/otel-environment.js';

function read(env: Record<string, string>) {
  const reader = new EnvironmentReader(env);
  return { config: readOtelEnvironment(reader), faults: reader.faults.all };
}

const ENDPOINT = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4317' };

describe("OpenTelemetry's own variables", () => {
  it('send nothing unless they name an exporter or an endpoint', () => {
    expect(read({})).toEqual({ config: {}, faults: [] });
    expect(read({ OTEL_SERVICE_NAME: 'cache' }).config).toEqual({});
  });

  it('send traces and metrics to an endpoint, with 1 % of the calls that begin a trace', () => {
    expect(read(ENDPOINT).config).toEqual({
      traces: { kind: 'traceidratio', parentBased: true, ratio: 0.01 },
      metrics: { protocol: 'http/protobuf', everyMs: 60_000, timeoutMs: 30_000 },
    });
  });

  it.each(['', 'TRACES_', 'METRICS_'])('need headers in ASCII, and no fault repeats one (%s)', (signal) => {
    const name = `OTEL_EXPORTER_OTLP_${signal}HEADERS`;
    for (const good of ['authorization=Basic%20bWU6c2VjcmV0==', 'x-a = b , x-b=%25,', 'a=b']) {
      expect(read({ [name]: good }).faults).toEqual([]);
    }
    for (const bad of [
      'authorization: Bearer secret',
      'key=sécret',
      'key=s%C3%A9cret',
      'key=s%cret',
      'a=%0A',
    ]) {
      expect(read({ [name]: `x-a=b,${bad}` }).faults).toEqual([
        `${name}: pair 2 is not NAME=VALUE in ASCII; percent-encode a comma, a semicolon and a percent sign`,
      ]);
    }
  });

  it.each(['', 'TRACES_', 'METRICS_'])('need endpoints with a scheme (%s)', (signal) => {
    const name = `OTEL_EXPORTER_OTLP_${signal}ENDPOINT`;
    for (const good of ['http://collector:4317', 'https://collector', 'HTTP://[::1]:4318/v1/traces']) {
      expect(read({ [name]: good }).faults).toEqual([]);
    }
    for (const bad of [
      'collector:4317',
      'me:secret@collector',
      'grpc://collector:4317',
      'http://',
      'http://a:b',
    ]) {
      expect(read({ [name]: bad }).faults).toEqual([`${name}: is not http://HOST:PORT or https://HOST:PORT`]);
    }
  });

  it('with a port that usually speaks the other protocol lead to a warning with both names', () => {
    const GRPC = { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' };
    const mismatches = (env: Record<string, string>) => {
      const reader = new EnvironmentReader(env);
      const found = otlpMismatches(reader, readOtelEnvironment(reader));
      return found.map(({ variable, port, protocol }) => `${variable} ${port} ${protocol}`);
    };
    const general = 'OTEL_EXPORTER_OTLP_ENDPOINT';
    expect(mismatches({ [general]: 'http://c:4318' })).toEqual([]);
    expect(mismatches({ [general]: 'http://c:4317', ...GRPC })).toEqual([]);
    expect(mismatches({ [general]: 'http://c:9999', ...GRPC })).toEqual([]);
    expect(mismatches({ [general]: 'http://c' })).toEqual([]);
    expect(mismatches({ [general]: 'http://c:4317' })).toEqual([`${general} 4317 http/protobuf`]);
    const none = { OTEL_METRICS_EXPORTER: 'none' };
    expect(mismatches({ [general]: 'http://c:4318', ...GRPC, ...none })).toEqual([`${general} 4318 grpc`]);
    const own = 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT';
    expect(mismatches({ [own]: 'http://c:4317' })).toEqual([`${own} 4317 http/protobuf`]);
    expect(mismatches({})).toEqual([]);
    // grpc-js connects to 443 without TLS then, and a URL never has the port of its scheme.
    for (const url of ['http://c', 'http://c/', 'http://c:80']) {
      expect(mismatches({ [general]: url, ...GRPC })).toEqual([`${general} 443 grpc`]);
    }
    expect(mismatches({ [general]: 'https://c', ...GRPC })).toEqual([]);
  });

  it('lead to the ports that the exporters connect to', () => {
    const places = (env: Record<string, string>) => {
      const reader = new EnvironmentReader(env);
      const found = otlpEndpoints(reader, readOtelEnvironment(reader));
      return found.map(({ variable, url: { hostname }, port }) => `${variable} ${hostname}:${port}`);
    };
    const general = 'OTEL_EXPORTER_OTLP_ENDPOINT';
    const traces = (env: Record<string, string>) => places({ OTEL_METRICS_EXPORTER: 'none', ...env });
    expect(places(ENDPOINT)).toEqual([`${general} collector:4317`, `${general} collector:4317`]);
    expect(traces({ [general]: 'http://c' })).toEqual([`${general} c:80`]);
    expect(traces({ [general]: 'https://c' })).toEqual([`${general} c:443`]);
    const GRPC = { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' };
    for (const url of ['http://c', 'https://c', 'http://c:80']) {
      expect(traces({ [general]: url, ...GRPC })).toEqual([`${general} c:443`]);
    }
    // An exporter without an endpoint has a default.
    expect(traces({ OTEL_TRACES_EXPORTER: 'otlp' })).toEqual([`${general} localhost:4318`]);
    expect(traces({ OTEL_TRACES_EXPORTER: 'otlp', ...GRPC })).toEqual([`${general} localhost:4317`]);
    // The console is no collector.
    expect(traces({ ...ENDPOINT, OTEL_TRACES_EXPORTER: 'console' })).toEqual([]);
    expect(traces({ ...ENDPOINT, OTEL_TRACES_EXPORTER: 'console, otlp' })).toHaveLength(1);
  });

  /** The signals that are sent. */
  const sentBy = (env: Record<string, string>) =>
    Object.entries(read(env).config).flatMap(([signal, how]) => (how === undefined ? [] : [signal]));

  it('can send only one of the signals', () => {
    expect(sentBy({ ...ENDPOINT, OTEL_METRICS_EXPORTER: 'none' })).toEqual(['traces']);
    expect(sentBy({ ...ENDPOINT, OTEL_METRICS_EXPORTER: 'prometheus' })).toEqual(['traces']);
    expect(sentBy({ ...ENDPOINT, OTEL_TRACES_EXPORTER: 'none' })).toEqual(['metrics']);
    expect(sentBy({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://a' })).toEqual(['traces']);
    expect(sentBy({ OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: 'http://a' })).toEqual(['metrics']);
    expect(sentBy({ OTEL_TRACES_EXPORTER: 'console' })).toEqual(['traces']);
  });

  it('are ignored as a whole with OTEL_SDK_DISABLED', () => {
    expect(read({ ...ENDPOINT, OTEL_SDK_DISABLED: 'true', OTEL_TRACES_SAMPLER: 'x' })).toEqual({
      config: {},
      faults: [],
    });
  });

  it.each([
    ['always_on', 'always_on', false],
    ['always_off', 'always_off', false],
    ['traceidratio', 'traceidratio', false],
    ['parentbased_always_on', 'always_on', true],
    ['parentbased_always_off', 'always_off', true],
    ['parentbased_traceidratio', 'traceidratio', true],
  ] as const)('select the sampler %s', (name, kind, parentBased) => {
    const { config } = read({ ...ENDPOINT, OTEL_TRACES_SAMPLER: name, OTEL_TRACES_SAMPLER_ARG: '0.5' });
    expect(config.traces).toEqual({ kind, parentBased, ratio: 0.5 });
  });

  it('bound the ratio on both sides', () => {
    for (const ratio of ['0', '1']) expect(read({ OTEL_TRACES_SAMPLER_ARG: ratio }).faults).toEqual([]);
    for (const ratio of ['-0.1', '1.1', 'half']) {
      expect(read({ OTEL_TRACES_SAMPLER_ARG: ratio }).faults).toEqual([
        `OTEL_TRACES_SAMPLER_ARG: '${ratio}' is not a number within 0 to 1`,
      ]);
    }
  });

  it('limit the timeout of an export to the interval', () => {
    const { config } = read({ ...ENDPOINT, OTEL_METRIC_EXPORT_INTERVAL: '500' });
    expect(config.metrics).toMatchObject({ everyMs: 500, timeoutMs: 500 });
  });

  it('have each fault reported', () => {
    const { faults } = read({
      OTEL_TRACES_EXPORTER: 'zipkin',
      OTEL_METRICS_EXPORTER: 'statsd',
      OTEL_TRACES_SAMPLER: 'jaeger_remote',
      OTEL_EXPORTER_OTLP_PROTOCOL: 'carrier pigeon',
      OTEL_METRIC_EXPORT_INTERVAL: '0',
    });
    expect(faults.map((fault) => fault.split(':')[0])).toEqual([
      'OTEL_TRACES_EXPORTER',
      'OTEL_METRICS_EXPORTER',
      'OTEL_TRACES_SAMPLER',
      'OTEL_EXPORTER_OTLP_PROTOCOL',
      'OTEL_EXPORTER_OTLP_PROTOCOL',
      'OTEL_METRIC_EXPORT_INTERVAL',
    ]);
  });
});
