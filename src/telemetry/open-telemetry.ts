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

const SERVICE_NAME = 'dibs';
const STOP_MS_MAX = 3_000;

/** The SDK as it runs in this process, with its exporters and bounds from OpenTelemetry's own variables. */
export interface OpenTelemetry {
  readonly tracer: Tracer;
  /** Sends what has gathered. */
  stop(): Promise<void>;
}

/** Starts to export spans. Loaded only now: a replica that traces nothing has nothing of the SDK in its memory. */
export async function startOpenTelemetry(version: string, log: Logger): Promise<OpenTelemetry> {
  const { NodeSDK } = await import('@opentelemetry/sdk-node');
  const { AlwaysOnSampler } = await import('@opentelemetry/sdk-trace-base');
  if (process.env.OTEL_LOG_LEVEL === undefined) tellProblems(log);
  const sdk = new NodeSDK({
    // What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say is laid over this.
    resource: defaultResource().merge(
      resourceFromAttributes({ 'service.name': SERVICE_NAME, 'service.version': version }),
    ),
    // Decided before a span is made, in sampler.ts.
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
        .catch((error: unknown) => log.warn({ err: error }, 'the last spans were not sent'));
      // A collector that has gone must not hold up whoever stops.
      await Promise.race([sent, new Promise<void>((resolve) => setTimeout(resolve, STOP_MS_MAX).unref())]);
      trace.disable();
    },
  };
}

/** Sends metrics to a collector, besides what whoever scrapes reads. */
export async function otlpMetricReader(options: NonNullable<OtelConfig['metrics']>): Promise<MetricReader> {
  const { everyMs, timeoutMs } = options;
  const { OTLPMetricExporter } = await {
    grpc: () => import('@opentelemetry/exporter-metrics-otlp-grpc'),
    'http/protobuf': () => import('@opentelemetry/exporter-metrics-otlp-proto'),
    'http/json': () => import('@opentelemetry/exporter-metrics-otlp-http'),
  }[options.protocol]();
  return new PeriodicExportingMetricReader({
    exporter: new OTLPMetricExporter(),
    exportIntervalMillis: everyMs,
    exportTimeoutMillis: timeoutMs,
  });
}

/** What the SDK cannot do, such as reach its collector, stands in our log and not nowhere. */
function tellProblems(log: Logger): void {
  const tell = (message: string, ...details: unknown[]) =>
    log.warn({ message, details: details.map(String) }, 'OpenTelemetry reports a problem');
  const silent = () => {};
  diag.setLogger(
    { error: tell, warn: tell, info: silent, debug: silent, verbose: silent },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
}

/** The default follows every promise of the process; here traces are passed from hand to hand. */
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
