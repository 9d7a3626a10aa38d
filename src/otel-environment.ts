export type OtlpProtocol = 'grpc' | 'http/protobuf' | 'http/json';

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

/** OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG. */
export interface OtelSampling {
  readonly kind: (typeof SAMPLERS)[number];
  readonly parentBased: boolean;
  readonly ratio: number;
}

/** Reads one variable: its value without blanks, or undefined if it is not set or empty. */
type Get = (name: string) => string | undefined;

const SAMPLERS = ['always_on', 'always_off', 'traceidratio'] as const;
const PROTOCOLS: readonly OtlpProtocol[] = ['grpc', 'http/protobuf', 'http/json'];
/**
 * Of the calls whose callers sent no trace context, where OTEL_TRACES_SAMPLER_ARG says nothing. The
 * specification's own default, all of them, would make a span of each of many thousand hits a second.
 */
const ROOT_RATIO = 0.01;

/** `fault` hears of everything that is wrong. */
export function readOtelEnvironment(get: Get, fault: (text: string) => void): OtelConfig {
  if (get('OTEL_SDK_DISABLED')?.toLowerCase() === 'true') return {};
  const wants = (signal: 'TRACES' | 'METRICS', choices: readonly string[]) => {
    const name = `OTEL_${signal}_EXPORTER`;
    const endpoint = get('OTEL_EXPORTER_OTLP_ENDPOINT') ?? get(`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`);
    // Without an endpoint the SDK would try this machine's port for collectors, where mostly nobody listens.
    const named = get(name)?.split(',') ?? [endpoint === undefined ? 'none' : 'otlp'];
    const unknown = named.filter((exporter) => !choices.includes(exporter.trim()));
    for (const exporter of unknown) fault(`${name}: '${exporter}' is not one of ${choices.join(', ')}`);
    return named.some((exporter) => ['otlp', 'console'].includes(exporter.trim()));
  };
  const traces = wants('TRACES', ['otlp', 'console', 'none']);
  const metrics = wants('METRICS', ['otlp', 'prometheus', 'none']);
  const sampling = samplingOf(get, fault);
  const protocol = protocolOf(get, 'METRICS', fault);
  protocolOf(get, 'TRACES', fault);
  const everyMs = millisecondsOf(get, 'OTEL_METRIC_EXPORT_INTERVAL', 60_000, fault);
  const timeoutMs = millisecondsOf(get, 'OTEL_METRIC_EXPORT_TIMEOUT', 30_000, fault);
  return {
    ...(traces ? { traces: sampling } : {}),
    ...(metrics ? { metrics: { protocol, everyMs, timeoutMs: Math.min(timeoutMs, everyMs) } } : {}),
  };
}

function samplingOf(get: Get, fault: (text: string) => void): OtelSampling {
  const name = get('OTEL_TRACES_SAMPLER') ?? 'parentbased_traceidratio';
  const parentBased = name.startsWith('parentbased_');
  const kind = SAMPLERS.find((known) => known === (parentBased ? name.slice('parentbased_'.length) : name));
  if (kind === undefined) {
    const known = SAMPLERS.flatMap((sampler) => [sampler, `parentbased_${sampler}`]);
    fault(`OTEL_TRACES_SAMPLER: '${name}' is not one of ${known.join(', ')}`);
  }
  const text = get('OTEL_TRACES_SAMPLER_ARG');
  const ratio = text === undefined ? ROOT_RATIO : Number(text);
  if (!(ratio >= 0 && ratio <= 1)) {
    fault(`OTEL_TRACES_SAMPLER_ARG: '${text}' is not a number within 0 to 1`);
  }
  return { kind: kind ?? 'always_off', parentBased, ratio };
}

function protocolOf(get: Get, signal: string, fault: (text: string) => void): OtlpProtocol {
  const own = `OTEL_EXPORTER_OTLP_${signal}_PROTOCOL`;
  const name = get(own) === undefined ? 'OTEL_EXPORTER_OTLP_PROTOCOL' : own;
  const said = get(name) ?? 'http/protobuf';
  const protocol = PROTOCOLS.find((known) => known === said);
  if (protocol === undefined) fault(`${name}: '${said}' is not one of ${PROTOCOLS.join(', ')}`);
  return protocol ?? 'http/protobuf';
}

function millisecondsOf(get: Get, name: string, fallback: number, fault: (text: string) => void): number {
  const text = get(name);
  if (text === undefined) return fallback;
  if (/^\d{1,9}$/.test(text) && Number(text) > 0) return Number(text);
  fault(`${name}: '${text}' is not a whole number of milliseconds above 0`);
  return fallback;
}
