import { type EnvironmentReader, httpUrlOf } from './environment-reader.js';

export type OtlpProtocol = (typeof PROTOCOLS)[number];
type Signal = 'TRACES' | 'METRICS';

/** The part of OpenTelemetry's standard variables that Dibs itself uses. The SDK reads the rest. */
export interface OtelConfig {
  /** Absent: no call is traced. */
  readonly traces?: OtelSampling;
  /** Absent: metrics are served at `/metrics` only. */
  readonly metrics?: {
    readonly protocol: OtlpProtocol;
    readonly everyMs: number;
    readonly timeoutMs: number;
  };
}

/** OTEL_TRACES_SAMPLER, and OTEL_TRACES_SAMPLER_ARG if the kind has one. */
export interface OtelSampling {
  readonly kind: (typeof SAMPLERS)[number];
  /** The caller's decision counts. The rest applies to calls that begin a trace. */
  readonly parentBased: boolean;
  /** 0 to 1. */
  readonly ratio: number;
}

const SAMPLERS = ['always_on', 'always_off', 'traceidratio'] as const;
const SAMPLER_NAMES = SAMPLERS.flatMap((kind) => [kind, `parentbased_${kind}` as const]);
const ENDPOINTS = ['', 'TRACES_', 'METRICS_'].map((signal) => `OTEL_EXPORTER_OTLP_${signal}ENDPOINT`);
const HEADERS = ['', 'TRACES_', 'METRICS_'].map((signal) => `OTEL_EXPORTER_OTLP_${signal}HEADERS`);
/** Eleven days. Beyond 24 days a timer would overflow. */
const MS_MAX = 999_999_999;
const PROTOCOLS = ['grpc', 'http/protobuf', 'http/json'] as const;
/**
 * The ratio of calls without a trace context, unless OTEL_TRACES_SAMPLER_ARG sets it. The specification's default, all
 * calls, would create a span for each of many thousand hits a second.
 */
const ROOT_RATIO = 0.01;

/** Adds faults to the reader. */
export function readOtelEnvironment(reader: EnvironmentReader): OtelConfig {
  if (reader.get('OTEL_SDK_DISABLED')?.toLowerCase() === 'true') return {};
  const traces = wants(reader, 'TRACES', ['otlp', 'console', 'none']);
  const metrics = wants(reader, 'METRICS', ['otlp', 'prometheus', 'none']);
  for (const name of ENDPOINTS) checkEndpoint(reader, name);
  for (const name of HEADERS) checkHeaders(reader, name);
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

/** The usual port of a collector for one of the two ways to speak OTLP. */
const PORT_OF = { grpc: '4317', http: '4318' } as const;

/**
 * An endpoint whose port usually does not speak the protocol. Nothing arrives then, and the error does not say why. A URL
 * without a port is one too: over gRPC it leads to the port of TLS.
 */
export interface OtlpMismatch {
  readonly variable: string;
  readonly port: string;
  readonly protocol: OtlpProtocol;
}

/** Where the exporter of a signal sends to. */
interface OtlpEndpoint {
  /** Where the URL is set. */
  readonly variable: string;
  readonly protocol: OtlpProtocol;
  readonly url: URL;
  /** The port that the exporter connects to. */
  readonly port: string;
}

/** The endpoints of the signals that are sent over OTLP. */
export function otlpEndpoints(reader: EnvironmentReader, { traces, metrics }: OtelConfig): OtlpEndpoint[] {
  const sent: Signal[] = [];
  // The console is an exporter of traces too.
  if (traces !== undefined && exportersOf(reader, 'TRACES').includes('otlp')) sent.push('TRACES');
  if (metrics !== undefined) sent.push('METRICS');
  return sent.flatMap((signal) => {
    const own = `OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`;
    const variable = reader.get(own) === undefined ? 'OTEL_EXPORTER_OTLP_ENDPOINT' : own;
    const protocol = protocolOf(reader, signal);
    const endpoint = reader.get(variable) ?? `http://localhost:${usualPortOf(protocol)}`;
    const url = httpUrlOf(endpoint);
    return url === undefined ? [] : [{ variable, protocol, url, port: portOf(url, protocol) }];
  });
}

/** The mismatches of the exported signals. */
export function otlpMismatches(reader: EnvironmentReader, otel: OtelConfig): OtlpMismatch[] {
  const found = otlpEndpoints(reader, otel).flatMap(({ variable, protocol, url, port }) => {
    const other = protocol === 'grpc' ? PORT_OF.http : PORT_OF.grpc;
    const isPlainAtTls = protocol === 'grpc' && url.protocol === 'http:' && url.port === '';
    return port === other || isPlainAtTls ? [{ variable, port, protocol }] : [];
  });
  // One variable may serve both signals.
  return [...new Map(found.map((one) => [`${one.variable} ${one.protocol}`, one])).values()];
}

function usualPortOf(protocol: OtlpProtocol): string {
  return protocol === 'grpc' ? PORT_OF.grpc : PORT_OF.http;
}

/**
 * A URL has no port if it is the one of its scheme. The gRPC exporter passes on only the host of such a URL, and grpc-js
 * then connects to 443, also without TLS.
 */
function portOf({ port, protocol: scheme }: URL, protocol: OtlpProtocol): string {
  if (port !== '') return port;
  return protocol === 'grpc' || scheme === 'https:' ? '443' : '80';
}

/** Without an endpoint the SDK would try this machine's collector port, where usually nothing listens. */
function exportersOf(reader: EnvironmentReader, signal: Signal): readonly string[] {
  const endpoint =
    reader.get('OTEL_EXPORTER_OTLP_ENDPOINT') ?? reader.get(`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`);
  const named = reader.get(`OTEL_${signal}_EXPORTER`) ?? (endpoint === undefined ? 'none' : 'otlp');
  // With an @, it is a URL whose password may contain a comma.
  return named.includes('@') ? [named] : named.split(',').map((exporter) => exporter.trim());
}

function wants(reader: EnvironmentReader, signal: Signal, choices: readonly string[]): boolean {
  const exporters = exportersOf(reader, signal);
  const unknown = exporters.filter((exporter) => !choices.includes(exporter));
  for (const exporter of unknown)
    reader.faults.add(`OTEL_${signal}_EXPORTER`, `'${exporter}' is not one of ${choices.join(', ')}`);
  return exporters.some((exporter) => ['otlp', 'console'].includes(exporter));
}

/** Without a scheme, the exporters would take the host for the scheme and send nothing. */
function checkEndpoint(reader: EnvironmentReader, name: string): void {
  const text = reader.get(name);
  if (text === undefined || httpUrlOf(text) !== undefined) return;
  // It may contain a password.
  reader.faults.add(name, 'is not http://HOST:PORT or https://HOST:PORT');
}

/**
 * The SDK silently leaves out a pair that it cannot read. Over gRPC, a value outside ASCII would end the start with
 * an error that repeats it. It is usually a password, so a fault tells the place.
 */
function checkHeaders(reader: EnvironmentReader, name: string): void {
  const pairs = reader.get(name)?.split(',') ?? [];
  for (const [at, pair] of pairs.entries()) {
    if (pair.trim() === '' || isHeader(pair)) continue;
    const what = 'is not NAME=VALUE in ASCII; percent-encode a comma, a semicolon and a percent sign';
    reader.faults.add(name, `pair ${at + 1} ${what}`);
  }
}

function isHeader(pair: string): boolean {
  try {
    return /^[\w.-]+ *=[ -~]*$/.test(decodeURIComponent(pair.trim()));
  } catch {
    return false;
  }
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

function protocolOf(reader: EnvironmentReader, signal: Signal): OtlpProtocol {
  const own = `OTEL_EXPORTER_OTLP_${signal}_PROTOCOL`;
  const name = reader.get(own) === undefined ? 'OTEL_EXPORTER_OTLP_PROTOCOL' : own;
  return reader.choice(name, 'http/protobuf', PROTOCOLS);
}
