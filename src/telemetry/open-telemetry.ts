import {
  type Context,
  type ContextManager,
  DiagLogLevel,
  diag,
  ROOT_CONTEXT,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import { type MetricReader, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import type { OtelConfig } from '../config/otel-environment.js';
import type { Logger } from './logger.js';
import type { NamespaceSeries } from './namespace-series.js';

const SERVICE_NAME = 'dibs';
const STOP_MS_MAX = 3_000;

/** The running SDK. OpenTelemetry's own variables set its exporters and bounds. */
export interface OpenTelemetry {
  readonly tracer: Tracer;
  /** Sends the remaining spans. */
  stop(): Promise<void>;
}

/** Starts to export spans. Loads the SDK only now, so a replica without tracing spends no memory on it. */
export async function startOpenTelemetry(version: string, log: Logger): Promise<OpenTelemetry> {
  const { NodeSDK } = await import('@opentelemetry/sdk-node');
  const { AlwaysOnSampler } = await import('@opentelemetry/sdk-trace-base');
  if (process.env.OTEL_LOG_LEVEL === undefined) tellProblems(log);
  const sdk = new NodeSDK({
    // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES override this.
    resource: defaultResource().merge(
      resourceFromAttributes({ 'service.name': SERVICE_NAME, 'service.version': version }),
    ),
    // sampler.ts decides before a span is created.
    sampler: new AlwaysOnSampler(),
    contextManager: new NoAmbientContext(),
    textMapPropagator: null,
    metricReaders: [],
    logRecordProcessors: [],
  });
  sdk.start();
  return {
    tracer: trace.getTracer(SERVICE_NAME, version),
    stop: async () => {
      const sent = sdk
        .shutdown()
        .catch((error: unknown) => log.warn({ err: error }, 'spans lost: the last ones were not sent'));
      // A missing collector must not delay the stop.
      await Promise.race([sent, new Promise<void>((resolve) => setTimeout(resolve, STOP_MS_MAX).unref())]);
      trace.disable();
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

/** Logs what the SDK cannot do, for example reach its collector. */
function tellProblems(log: Logger): void {
  const tell = (message: string, ...details: unknown[]) =>
    log.warn({ message, details: details.map(String) }, 'tracing: OpenTelemetry reports a problem');
  const silent = () => {};
  diag.setLogger(
    { error: tell, warn: tell, info: silent, debug: silent, verbose: silent },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
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
