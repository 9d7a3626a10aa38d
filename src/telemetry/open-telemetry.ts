import {
  type Context,
  type ContextManager,
  DiagLogLevel,
  diag,
  metrics,
  ROOT_CONTEXT,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import { type MetricReader, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import type { OtelConfig } from '../config/otel-environment.js';
import { LOG } from './log-texts.js';
import type { Logger } from './logger.js';
import type { NamespaceSeries } from './namespace-series.js';
import { SpanCounts } from './span-counts.js';

const SERVICE_NAME = 'dibs';
const STOP_MS_MAX = 3_000;
const SDK_METRICS = 'OTEL_NODE_EXPERIMENTAL_SDK_METRICS';

/** The running SDK. OpenTelemetry's own variables set its exporters and bounds. */
export interface OpenTelemetry {
  readonly tracer: Tracer;
  /** What became of the spans, in numbers since the start: `sent`, `failed` or `dropped`. */
  spans(): Promise<ReadonlyMap<string, number>>;
  /** Sends the remaining spans. */
  stop(): Promise<void>;
}

/** Starts to export spans. Loads the SDK only now, so a replica without tracing spends no memory on it. */
export async function startOpenTelemetry(version: string, log: Logger): Promise<OpenTelemetry> {
  const { NodeSDK } = await import('@opentelemetry/sdk-node');
  const { AlwaysOnSampler } = await import('@opentelemetry/sdk-trace-base');
  const counts = new SpanCounts();
  const sdk = withoutConsole(
    () =>
      new NodeSDK({
        // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES override this.
        resource: defaultResource().merge(
          resourceFromAttributes({ 'service.name': SERVICE_NAME, 'service.version': version }),
        ),
        // sampler.ts decides before a span is created.
        sampler: new AlwaysOnSampler(),
        contextManager: new NoAmbientContext(),
        textMapPropagator: null,
        metricReaders: [counts],
        logRecordProcessors: [],
      }),
  );
  // The SDK counts its spans only if this is set, and reads it now.
  process.env[SDK_METRICS] = 'true';
  sdk.start();
  return {
    tracer: trace.getTracer(SERVICE_NAME, version),
    spans: () => counts.counts(),
    stop: async () => {
      const sent = sdk
        .shutdown()
        .catch((error: unknown) => log.warn({ err: error }, 'spans lost: the last ones were not sent'));
      // A missing collector must not delay the stop.
      await Promise.race([sent, new Promise<void>((resolve) => setTimeout(resolve, STOP_MS_MAX).unref())]);
      trace.disable();
      metrics.disable();
    },
  };
}

/** Sends metrics to a collector, in addition to /metrics. */
export async function otlpMetricReader(
  options: NonNullable<OtelConfig['metrics']>,
  series: NamespaceSeries,
): Promise<MetricReader> {
  const { everyMs, timeoutMs } = options;
  const { OTLPMetricExporter } = await {
    grpc: () => import('@opentelemetry/exporter-metrics-otlp-grpc'),
    'http/protobuf': () => import('@opentelemetry/exporter-metrics-otlp-proto'),
    'http/json': () => import('@opentelemetry/exporter-metrics-otlp-http'),
  }[options.protocol]();
  const exporter = new OTLPMetricExporter();
  return new PeriodicExportingMetricReader({
    exporter,
    metricProducers: [series.producer((type) => exporter.selectAggregationTemporality(type))],
    exportIntervalMillis: everyMs,
    exportTimeoutMillis: timeoutMs,
  });
}

/**
 * Logs what the SDK cannot do, for example reach its collector. Call it before anything is sent. OTEL_LOG_LEVEL can ask
 * for less.
 */
export function tellProblems(log: Pick<Logger, 'warn'>): void {
  const tell = (message: string, ...details: unknown[]) =>
    log.warn({ message: saidIn(message), details: details.map(String) }, LOG.otelProblem);
  const silent = () => {};
  diag.setLogger(
    { error: tell, warn: tell, info: silent, debug: silent, verbose: silent },
    { logLevel: levelOfProblems(process.env.OTEL_LOG_LEVEL), suppressOverrideMessage: true },
  );
}

function levelOfProblems(name = ''): DiagLogLevel {
  const levels: Readonly<Record<string, DiagLogLevel>> = {
    none: DiagLogLevel.NONE,
    error: DiagLogLevel.ERROR,
  };
  return levels[name.trim().toLowerCase()] ?? DiagLogLevel.WARN;
}

/** The SDK reports an error as JSON, with the collector's answer. That may repeat a header, and be of any size. */
function saidIn(message: string): string {
  if (!message.startsWith('{')) return message;
  try {
    const { message: text, code } = JSON.parse(message) as { message?: string; code?: string };
    return `${text ?? 'an error without a text'}${code === undefined ? '' : ` (${code})`}`;
  } catch {
    return 'an error whose text cannot be read';
  }
}

/**
 * With OTEL_LOG_LEVEL, the SDK writes to the console: lines that are no JSON, past the log, with what a collector has
 * answered.
 */
function withoutConsole<Made>(make: () => Made): Made {
  const { OTEL_LOG_LEVEL: level } = process.env;
  delete process.env.OTEL_LOG_LEVEL;
  try {
    return make();
  } finally {
    if (level !== undefined) process.env.OTEL_LOG_LEVEL = level;
  }
}

/** The default follows every promise of the process. Dibs passes traces explicitly. */
class NoAmbientContext implements ContextManager {
  active(): Context {
    return ROOT_CONTEXT;
  }

  with<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
    _context: Context,
    run: F,
    thisArg?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    return run.call(thisArg, ...args);
  }

  bind<T>(_context: Context, target: T): T {
    return target;
  }

  enable(): this {
    return this;
  }

  disable(): this {
    return this;
  }
}
