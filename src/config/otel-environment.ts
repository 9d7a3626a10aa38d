import type { EnvironmentReader } from './environment-reader.js';

export type OtlpProtocol = (typeof PROTOCOLS)[number];

/** What OpenTelemetry's standard variables ask for, as far as Dibs itself has to know it; the SDK reads the rest. */
export interface OtelConfig {
  /** Absent: no call is traced. */
  readonly traces?: OtelSampling;
  /** Absent: metrics are there for whoever scrapes `/metrics`, and sent to nobody. */
  readonly metrics?: {
    readonly protocol: OtlpProtocol;
    readonly everyMs: number;
    readonly timeoutMs: number;
  };
}

/** OTEL_TRACES_SAMPLER, and OTEL_TRACES_SAMPLER_ARG where the kind has one. */
export interface OtelSampling {
  readonly kind: (typeof SAMPLERS)[number];
  /** What the caller decided counts, and the rest is for calls that are the first of their trace. */
  readonly parentBased: boolean;
  /** 0 to 1. */
  readonly ratio: number;
}

const SAMPLERS = ['always_on', 'always_off', 'traceidratio'] as const;
const SAMPLER_NAMES = SAMPLERS.flatMap((kind) => [kind, `parentbased_${kind}` as const]);
/** Eleven days; beyond 24 a timer would overflow. */
const MS_MAX = 999_999_999;
const PROTOCOLS = ['grpc', 'http/protobuf', 'http/json'] as const;
/**
 * Of the calls whose callers sent no trace context, where OTEL_TRACES_SAMPLER_ARG says nothing. The
 * specification's own default, all of them, would make a span of each of many thousand hits a second.
 */
const ROOT_RATIO = 0.01;

/** Whatever is wrong stands among the reader's faults. */
export function readOtelEnvironment(reader: EnvironmentReader): OtelConfig {
  if (reader.get('OTEL_SDK_DISABLED')?.toLowerCase() === 'true') return {};
  const traces = wants(reader, 'TRACES', ['otlp', 'console', 'none']);
  const metrics = wants(reader, 'METRICS', ['otlp', 'prometheus', 'none']);
  const sampling = samplingOf(reader);
  const protocol = protocolOf(reader, 'METRICS');
  protocolOf(reader, 'TRACES');
  const everyMs = reader.whole('OTEL_METRIC_EXPORT_INTERVAL', 60_000, 1, MS_MAX);
  const timeoutMs = reader.whole('OTEL_METRIC_EXPORT_TIMEOUT', 30_000, 1, MS_MAX);
  return {
    traces: traces ? sampling : undefined,
    metrics: metrics ? { protocol, everyMs, timeoutMs: Math.min(timeoutMs, everyMs) } : undefined,
  };
}

function wants(reader: EnvironmentReader, signal: 'TRACES' | 'METRICS', choices: readonly string[]): boolean {
  const name = `OTEL_${signal}_EXPORTER`;
  const endpoint =
    reader.get('OTEL_EXPORTER_OTLP_ENDPOINT') ?? reader.get(`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`);
  // Without an endpoint the SDK would try this machine's port for collectors, where mostly nobody listens.
  const named = reader.get(name)?.split(',') ?? [endpoint === undefined ? 'none' : 'otlp'];
  const unknown = named.filter((exporter) => !choices.includes(exporter.trim()));
  for (const exporter of unknown)
    reader.faults.add(name, `'${exporter}' is not one of ${choices.join(', ')}`);
  return named.some((exporter) => ['otlp', 'console'].includes(exporter.trim()));
}

function samplingOf(reader: EnvironmentReader): OtelSampling {
  const name = reader.choice('OTEL_TRACES_SAMPLER', 'parentbased_traceidratio', SAMPLER_NAMES);
  const kind = SAMPLERS.find((known) => name.endsWith(known)) ?? 'always_off';
  const text = reader.get('OTEL_TRACES_SAMPLER_ARG');
  const ratio = text === undefined ? ROOT_RATIO : Number(text);
  if (!(ratio >= 0 && ratio <= 1)) {
    reader.faults.add('OTEL_TRACES_SAMPLER_ARG', `'${text}' is not a number within 0 to 1`);
  }
  return { kind, parentBased: name.startsWith('parentbased_'), ratio };
}

function protocolOf(reader: EnvironmentReader, signal: 'TRACES' | 'METRICS'): OtlpProtocol {
  const own = `OTEL_EXPORTER_OTLP_${signal}_PROTOCOL`;
  const name = reader.get(own) === undefined ? 'OTEL_EXPORTER_OTLP_PROTOCOL' : own;
  return reader.choice(name, 'http/protobuf', PROTOCOLS);
}
