import { status } from '@grpc/grpc-js';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { expect, it } from 'vitest';
import { OpenTelemetryTracing } from '../../../src/telemetry/tracing.js';

const METHOD = 'dibs.v1.CoordinatorService/GetOrLock';
const [TRACE, SPAN] = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'];
const PARENT = `00-${TRACE}-${SPAN}-01`;

function tracingIn(options: { sampled?: boolean; clear?: string } = {}) {
  const exporter = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  const tracing = new OpenTelemetryTracing({
    tracer: provider.getTracer('test'),
    sampled: () => options.sampled ?? true,
    keysInClear: (namespace) => namespace === options.clear,
  });
  return { tracing, spans: () => exporter.getFinishedSpans() };
}

it('a call that is not sampled creates nothing', () => {
  const { tracing, spans } = tracingIn({ sampled: false });
  expect(tracing.call(METHOD, PARENT)).toBeUndefined();
  expect(spans()).toEqual([]);
});

it('a call ends once with its status, which is an error for faults of the server only', () => {
  const { tracing, spans } = tracingIn();
  const ended = [
    status.OK,
    status.INVALID_ARGUMENT,
    status.RESOURCE_EXHAUSTED,
    status.UNAVAILABLE,
    status.INTERNAL,
  ];
  for (const code of ended) {
    const call = tracing.call(METHOD, PARENT);
    call?.end(code);
    call?.end(status.OK);
  }
  expect(spans().map(({ kind, name }) => [kind, name])).toEqual(ended.map(() => [SpanKind.SERVER, METHOD]));
  expect(spans().map(({ attributes }) => attributes['rpc.response.status_code'])).toEqual(
    ended.map((code) => status[code]),
  );
  expect(spans().map((span) => [span.status.code, span.attributes['error.type']])).toEqual([
    ...[0, 1, 2].map(() => [SpanStatusCode.UNSET, undefined]),
    [SpanStatusCode.ERROR, 'UNAVAILABLE'],
    [SpanStatusCode.ERROR, 'INTERNAL'],
  ]);
});

it('a call is a child of its caller, or begins a trace', () => {
  const { tracing, spans } = tracingIn();
  const [below, first] = [tracing.call(METHOD, PARENT), tracing.call(METHOD, '')];
  expect(below?.traceparent).toMatch(new RegExp(`^00-${TRACE}-(?!${SPAN})[0-9a-f]{16}-01$`));
  below?.end(status.OK);
  first?.end(status.OK);
  expect(spans().map(({ parentSpanContext }) => parentSpanContext?.spanId)).toEqual([SPAN, undefined]);
});

it('keys are distinguishable, and readable if their namespace allows it, in calls and steps', () => {
  const { tracing, spans } = tracingIn({ clear: 'public' });
  const about = (namespace: string, key: string) => {
    const call = tracing.call(METHOD, PARENT);
    call?.about(namespace, key);
    call?.begin('look').end();
    call?.end(status.OK);
    const [step, server] = spans().slice(-2);
    for (const name of ['dibs.key', 'dibs.key.hash']) {
      expect(step?.attributes[name]).toBe(server?.attributes[name]);
    }
    return server?.attributes;
  };
  expect(about('public', 'a')).toMatchObject({ 'dibs.namespace': 'public', 'dibs.key': 'a' });
  const secret = about('secret', 'a');
  expect(secret).not.toHaveProperty('dibs.key');
  expect(secret?.['dibs.key.hash']).toMatch(/^[0-9a-f]{16}$/);
  expect(about('secret', 'b')?.['dibs.key.hash']).not.toBe(secret?.['dibs.key.hash']);
  expect(about('other', 'a')?.['dibs.key.hash']).not.toBe(secret?.['dibs.key.hash']);
});

it('steps have their attributes, their parts with durations, and their links', () => {
  const { tracing, spans } = tracingIn();
  const call = tracing.call(METHOD, PARENT);
  const acquire = call?.begin('acquire');
  acquire?.part('vote', 12.5, { node: 'a:1', vote: 'for' });
  acquire?.end({ ballot: 'granted' });
  const wait = call?.begin('wait', { position: 3 });
  wait?.pointTo(PARENT);
  wait?.pointTo('nothing of the sort');
  wait?.end({ endedBy: 'publish' });
  call?.begin('lease');
  const [vote, acquired, waited, ...rest] = spans();
  expect(rest).toEqual([]);
  expect(vote).toMatchObject({ name: 'dibs.vote', attributes: { 'dibs.node': 'a:1', 'dibs.vote': 'for' } });
  expect(vote?.parentSpanContext?.spanId).toBe(acquired?.spanContext().spanId);
  const [seconds = 0, nanos = 0] = vote?.duration ?? [];
  expect(seconds * 1e3 + nanos / 1e6).toBeCloseTo(12.5, 1);
  expect(acquired?.attributes).toEqual({ 'dibs.ballot': 'granted' });
  expect(waited?.attributes).toEqual({ 'dibs.wait.position': 3, 'dibs.wait.ended_by': 'publish' });
  expect(waited?.links.map(({ context }) => context.spanId)).toEqual([SPAN]);
});

it('steps lie within their call, and end at the given time', () => {
  const { tracing, spans } = tracingIn();
  const msOf = ([seconds, nanos]: readonly [number, number]) => seconds * 1e3 + nanos / 1e6;
  for (let round = 0; round < 200; round += 1) {
    const call = tracing.call(METHOD, PARENT);
    const step = call?.begin('acquire');
    step?.part('vote', 0, {});
    step?.end();
    call?.end(status.OK);
    const [vote, acquire, server] = spans().slice(-3);
    const begins = [server, acquire, vote].map((span) => msOf(span!.startTime));
    const ends = [vote, acquire, server].map((span) => msOf(span!.endTime));
    expect(begins).toEqual([...begins].sort((a, b) => a - b));
    expect(ends).toEqual([...ends].sort((a, b) => a - b));
  }
  const begins = spans().map(({ startTime: [, nanos] }) => nanos % 1e6);
  expect(begins.some((nanos) => nanos !== 0)).toBe(true);
  const lease = tracing.call(METHOD, PARENT)?.begin('lease');
  const before = Date.now();
  lease?.end({}, 0);
  const late = tracing.call(METHOD, PARENT)?.begin('lease');
  late?.end({}, -1_000);
  const [now, ahead] = spans().slice(-2);
  expect(msOf(ahead!.endTime) - msOf(now!.endTime)).toBeGreaterThanOrEqual(1_000 - 1);
  expect(msOf(now!.endTime)).toBeGreaterThanOrEqual(before - 1);
});
