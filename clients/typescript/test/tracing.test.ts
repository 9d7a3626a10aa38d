import { context, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bytes, freshKey, raw, Service } from './service.js';

const ttlMs = 60_000;
const EXPLICIT = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7' };

let service: Service;
beforeAll(async () => {
  service = await Service.start();
});
afterAll(() => service?.stop());

/** Returns a client, and the traceparents that it has sent by method. */
function heardClient() {
  const { client, link } = service.clientOverBadLink();
  return {
    client,
    sentBy: (method: Parameters<typeof link.traceparentsOf>[0]) => link.traceparentsOf(method),
  };
}

describe("with OpenTelemetry's SDK", () => {
  const exporter = new InMemorySpanExporter();
  beforeEach(() => {
    exporter.reset();
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    const spanProcessors = [new SimpleSpanProcessor(exporter)];
    trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors }));
  });
  afterEach(() => {
    trace.disable();
    context.disable();
  });

  /** Runs it inside a span, as a request of an application would. */
  async function inRequest<T>(run: () => Promise<T>) {
    const span = trace.getTracer('app').startSpan('GET /users/42');
    const result = await context.with(trace.setSpan(context.active(), span), run);
    span.end();
    return { result, ...span.spanContext() };
  }
  const named = (name: string) => exporter.getFinishedSpans().filter((span) => span.name === name);
  const rebuilds = () => named('dibs.rebuild') as [ReadableSpan, ...ReadableSpan[]];
  const traceparentOf = ({ traceId, spanId }: { traceId: string; spanId: string }) =>
    `00-${traceId}-${spanId}-01`;

  it("asks in the caller's trace, and rebuilds in its own span, the parent of the rebuild's spans", async () => {
    const { client, sentBy } = heardClient();
    const request = await inRequest(() =>
      client.getOrRebuild(
        freshKey(),
        async () => {
          trace.getTracer('app').startSpan('SELECT').end();
          return bytes('v');
        },
        { codec: raw, ttlMs, namespace: 'catalog' },
      ),
    );
    const [rebuild] = rebuilds();
    expect(rebuild.parentSpanContext?.spanId).toBe(request.spanId);
    expect(rebuild.attributes).toMatchObject({
      'dibs.namespace': 'catalog',
      'dibs.lease.reason': 'miss',
      'dibs.publish.outcome': 'stored',
    });
    expect(rebuild.attributes['dibs.fence']).toBeGreaterThan(0);
    expect(JSON.stringify(rebuild.attributes)).not.toContain('key');
    expect(named('SELECT')[0]?.parentSpanContext?.spanId).toBe(rebuild.spanContext().spanId);
    expect(sentBy('getOrLock')).toEqual([traceparentOf(request)]);
    expect(sentBy('publish')).toEqual([traceparentOf(rebuild.spanContext())]);
  });

  it('prefers the trace that the caller names over the current one', async () => {
    const { client, sentBy } = heardClient();
    const traceparent = traceparentOf(EXPLICIT);
    await inRequest(() =>
      client.getOrRebuild(freshKey(), () => bytes('v'), { codec: raw, ttlMs, traceparent }),
    );
    expect(sentBy('getOrLock')).toEqual([traceparent]);
    const [rebuild] = rebuilds();
    expect(rebuild.parentSpanContext).toMatchObject(EXPLICIT);
  });

  it('records what a rebuild threw, and releases the lease in its trace', async () => {
    const { client, sentBy } = heardClient();
    const failing = () => Promise.reject(new Error('no database'));
    await expect(client.getOrRebuild(freshKey(), failing, { codec: raw, ttlMs })).rejects.toThrow(
      'no database',
    );
    const [rebuild] = rebuilds();
    expect(rebuild.status.code).toBe(2);
    expect(rebuild.events[0]?.attributes).toMatchObject({ 'exception.message': 'no database' });
    expect(sentBy('release')).toEqual([traceparentOf(rebuild.spanContext())]);
  });

  it('has a span for a background rebuild of a stale value too', async () => {
    const { client } = heardClient();
    const key = freshKey();
    await client.getOrRebuild(key, () => bytes('old'), { codec: raw, ttlMs: 1, staleMs: 60_000 });
    await expect
      .poll(async () => (await client.getOrLock({ key, intent: 'read' })).kind === 'hit')
      .toBe(true);
    const request = await inRequest(() =>
      client.getOrRebuild(key, () => bytes('new'), { codec: raw, ttlMs }),
    );
    await expect.poll(() => rebuilds().length).toBe(2);
    expect(rebuilds()[1]?.spanContext().traceId).toBe(request.traceId);
  });

  it('sends the current trace with the plain calls too', async () => {
    const { client, sentBy } = heardClient();
    const request = await inRequest(() => client.explain({ key: freshKey() }));
    expect(sentBy('explain')).toEqual([traceparentOf(request)]);
  });
});

it('without an SDK only the trace that the caller names is sent', async () => {
  const { client, sentBy } = heardClient();
  await client.getOrRebuild(freshKey(), () => bytes('v'), { codec: raw, ttlMs });
  expect([...sentBy('getOrLock'), ...sentBy('publish')]).toEqual([undefined, undefined]);
  const traceparent = `00-${EXPLICIT.traceId}-${EXPLICIT.spanId}-01`;
  await client.getOrRebuild(freshKey(), () => bytes('v'), { codec: raw, ttlMs, traceparent });
  expect([sentBy('getOrLock')[1], sentBy('publish')[1]]).toEqual([traceparent, traceparent]);
});
