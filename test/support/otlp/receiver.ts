import { type MethodDefinition, Server, ServerCredentials, type UntypedHandleCall } from '@grpc/grpc-js';
import { loadSync, type MessageTypeDefinition } from '@grpc/proto-loader';

/** A span as it came in, with its numbers and bytes made readable. */
export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the root of a trace. */
  readonly parentId: string;
  readonly name: string;
  /** 2 is SERVER. */
  readonly kind: number;
  readonly tookMs: number;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  /** 2 is ERROR. */
  readonly statusCode: number;
  /** `service.name` and the like. */
  readonly resource: Readonly<Record<string, string | number | boolean>>;
}

interface KeyValue {
  readonly key: string;
  readonly value: Record<string, string | number | boolean>;
}
type WireSpan = Record<'traceId' | 'spanId' | 'parentSpanId', Buffer> & {
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly KeyValue[];
  readonly links: readonly { readonly traceId: Buffer; readonly spanId: Buffer }[];
  readonly status?: { readonly code: number };
};
interface WireTraces {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly KeyValue[] };
    readonly scopeSpans: readonly { readonly spans: readonly WireSpan[] }[];
  }[];
}
interface WireMetrics {
  readonly resourceMetrics: readonly {
    readonly resource: { readonly attributes: readonly KeyValue[] };
    readonly scopeMetrics: readonly { readonly metrics: readonly { readonly name: string }[] }[];
  }[];
}

const TRACES = '/opentelemetry.proto.collector.trace.v1.TraceService/Export';
const METRICS = '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export';

/** A collector: OTLP over gRPC, as exporters speak it, into this process's memory. */
export class OtlpReceiver {
  readonly spans: ReceivedSpan[] = [];
  readonly metrics = new Set<string>();
  /** What each export of metrics was of. */
  readonly metricResources: ReceivedSpan['resource'][] = [];

  private constructor(
    private readonly server: Server,
    private readonly port: () => number,
  ) {}

  static async start(): Promise<OtlpReceiver> {
    const server = new Server();
    let port = 0;
    const receiver = new OtlpReceiver(server, () => port);
    const { traces, metrics } = methods();
    server.addService(
      { export: traces },
      { export: answering((it) => receiver.#keepTraces(it as WireTraces)) },
    );
    server.addService(
      { export: metrics },
      { export: answering((it) => receiver.#keepMetrics(it as WireMetrics)) },
    );
    port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    return receiver;
  }

  /** What a replica's environment needs, so that it sends every span soon. */
  get env(): Readonly<Record<string, string>> {
    return {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${this.port()}`,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
      OTEL_TRACES_SAMPLER_ARG: '1',
      OTEL_BSP_SCHEDULE_DELAY: '100',
      // A busy machine takes its time, and what is not taken is lost.
      OTEL_BSP_EXPORT_TIMEOUT: '60000',
      OTEL_EXPORTER_OTLP_TIMEOUT: '60000',
      OTEL_METRIC_EXPORT_INTERVAL: '500',
    };
  }

  named(name: string): ReceivedSpan[] {
    return this.spans.filter((span) => span.name === name);
  }

  childrenOf({ spanId }: ReceivedSpan): ReceivedSpan[] {
    return this.spans.filter(({ parentId }) => parentId === spanId);
  }

  stop(): void {
    this.server.forceShutdown();
  }

  #keepTraces({ resourceSpans }: WireTraces): void {
    for (const { resource, scopeSpans } of resourceSpans) {
      const about = plain(resource.attributes);
      for (const { spans } of scopeSpans) this.spans.push(...spans.map((span) => received(span, about)));
    }
  }

  #keepMetrics({ resourceMetrics }: WireMetrics): void {
    this.metricResources.push(...resourceMetrics.map(({ resource }) => plain(resource.attributes)));
    const all = resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics));
    for (const { name } of all) this.metrics.add(name);
  }
}

function methods(): Record<'traces' | 'metrics', MethodDefinition<object, object>> {
  const types = loadSync('test/support/otlp/collector.proto', {
    longs: String,
    defaults: true,
    oneofs: false,
  });
  const codec = (name: string) => {
    const type = types[`opentelemetry.proto.collector.${name}`];
    if (type === undefined || !('format' in type)) throw new Error(`no message ${name}`);
    return type as MessageTypeDefinition<object, object>;
  };
  const accepted = codec('Accepted');
  const method = (path: string, request: string): MethodDefinition<object, object> => ({
    ...{ path, requestStream: false, responseStream: false },
    requestSerialize: codec(request).serialize,
    requestDeserialize: codec(request).deserialize,
    responseSerialize: accepted.serialize,
    responseDeserialize: accepted.deserialize,
  });
  return {
    traces: method(TRACES, 'ExportTraceServiceRequest'),
    metrics: method(METRICS, 'ExportMetricsServiceRequest'),
  };
}

function answering(keep: (request: unknown) => void): UntypedHandleCall {
  return (call: { request: unknown }, done: (error: null, response: object) => void) => {
    keep(call.request);
    done(null, {});
  };
}

function received(span: WireSpan, resource: ReceivedSpan['resource']): ReceivedSpan {
  return {
    traceId: hex(span.traceId),
    spanId: hex(span.spanId),
    parentId: hex(span.parentSpanId),
    name: span.name,
    kind: span.kind,
    tookMs: Number(BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)) / 1e6,
    attributes: plain(span.attributes),
    links: span.links.map((link) => ({ traceId: hex(link.traceId), spanId: hex(link.spanId) })),
    statusCode: span.status?.code ?? 0,
    resource,
  };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function plain(attributes: readonly KeyValue[]): Record<string, string | number | boolean> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => {
      const [kind, it] = Object.entries(value).find(([, present]) => present !== undefined) ?? ['', ''];
      return [key, kind === 'intValue' ? Number(it) : it];
    }),
  );
}
