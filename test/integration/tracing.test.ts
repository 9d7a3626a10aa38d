import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Caller, textOf } from '../support/caller.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { Fleet } from '../support/fleet.js';
import { OtlpReceiver, type ReceivedSpan } from '../support/otlp/receiver.js';
import { PATIENT_ENV } from '../support/patience.js';
import { Replica } from '../support/replica.js';
import { SessionCaller } from '../support/session-caller.js';
import { until } from '../support/until.js';
import { waitersOf } from '../support/waiters.js';

const GET_OR_LOCK = 'dibs.v1.CoordinatorService/GetOrLock';
const PUBLISH = 'dibs.v1.CoordinatorService/Publish';
const SERVER = 2;
const REBUILD_MS = 400;

/** Returns a trace as a caller's own tracing would make it. */
function someTrace(flags = '01') {
  const [traceId, spanId] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
  return { traceId, spanId, traceparent: `00-${traceId}-${spanId}-${flags}` };
}

describeWithRedis('the traces of a stampede across two replicas', () => {
  let receiver: OtlpReceiver;
  let fleet: Fleet;
  let callers: Caller[] = [];
  const holder = someTrace();
  const [near, far] = [someTrace(), someTrace()];
  const key = 'product:42';

  beforeAll(async () => {
    receiver = await OtlpReceiver.start();
    fleet = await Fleet.start({
      replicas: 2,
      env: { ...receiver.env, ...PATIENT_ENV, DIBS_NEAR_CACHE_BYTES: '0' },
    });
    callers = fleet.replicas.map(({ target }) => new Caller(target));
    const [one, two] = callers as [Caller, Caller];
    await Promise.all(callers.map((caller) => caller.connect()));
    const lease = await one.lease({ key, holder: 'checkout', leaseMs: 60_000 }, holder);
    const waits = [
      one.getOrLock({ key, waitMs: 30_000 }, near),
      two.getOrLock({ key, waitMs: 30_000 }, far),
      // This one counts as served too, and is in no trace.
      one.getOrLock({ key, waitMs: 30_000 }, someTrace('00')),
    ];
    for (const [at, count] of [2, 1].entries())
      await until(async () => (await waitersOf(fleet.replicas[at]!.httpUrl)) === count);
    await new Promise((resolve) => setTimeout(resolve, REBUILD_MS));
    await one.publish(
      { key, token: lease.token, payload: { $case: 'value', value: Buffer.from('fresh') }, ttlMs: 60_000 },
      holder,
    );
    expect((await Promise.all(waits)).map(textOf)).toEqual(['fresh', 'fresh', 'fresh']);
    // They come in several batches.
    const named = [PUBLISH, 'dibs.publish', 'dibs.lease'];
    await until(() => named.every((name) => receiver.named(name).length > 0));
    await until(() => receiver.named(GET_OR_LOCK).length >= 3 && receiver.named('dibs.wait').length >= 2);
    await until(() => receiver.named('dibs.vote').length >= 5);
  });
  afterAll(async () => {
    for (const caller of callers) caller.close();
    await fleet?.stop();
    receiver?.stop();
  });

  const serverSpan = (of: { traceId: string }, name = GET_OR_LOCK): ReceivedSpan =>
    receiver.named(name).find(({ traceId }) => traceId === of.traceId)!;

  it("have a server span for each call, below its caller's span", () => {
    for (const caller of [holder, near, far]) {
      const span = serverSpan(caller);
      expect(span).toMatchObject({ parentId: caller.spanId, kind: SERVER, statusCode: 0 });
      expect(span.attributes).toMatchObject({
        'rpc.system.name': 'grpc',
        'rpc.method': GET_OR_LOCK,
        'rpc.response.status_code': 'OK',
        'dibs.outcome': caller === holder ? 'lease' : 'hit',
        'dibs.degraded': 'none',
      });
      expect(span.resource).toMatchObject({ 'service.name': 'dibs', 'service.version': '0.1.0' });
    }
  });

  it('show how a lease was given: the read, the attempt with the vote of each node, the arming', () => {
    const steps = receiver.childrenOf(serverSpan(holder));
    expect(steps.map(({ name }) => name).sort()).toEqual([
      'dibs.acquire',
      'dibs.arm',
      'dibs.lease',
      'dibs.look',
    ]);
    const step = (name: string) => steps.find((span) => span.name === name)!;
    expect(step('dibs.look').attributes).toMatchObject({ 'dibs.found': 'nothing' });
    expect(step('dibs.acquire').attributes).toMatchObject({ 'dibs.ballot': 'granted' });
    expect(step('dibs.arm').attributes).toMatchObject({ 'dibs.armed': true });
    const votes = receiver.childrenOf(step('dibs.acquire'));
    expect(votes.map(({ attributes }) => attributes['dibs.vote'])).toEqual(Array(5).fill('for'));
    expect(new Set(votes.map(({ attributes }) => attributes['dibs.node'])).size).toBe(5);
    for (const vote of votes) expect(vote.tookMs).toBeGreaterThan(0);
  });

  it('link each wait to its rebuild, on whichever replica', () => {
    const lease = receiver.childrenOf(serverSpan(holder)).find(({ name }) => name === 'dibs.lease')!;
    for (const [at, waiter] of [near, far].entries()) {
      const wait = receiver.childrenOf(serverSpan(waiter)).find(({ name }) => name === 'dibs.wait')!;
      expect(wait.links).toEqual([{ traceId: holder.traceId, spanId: lease.spanId }]);
      expect(wait.attributes).toMatchObject({
        'dibs.wait.ended_by': 'publish',
        'dibs.wait.position': 1,
        'dibs.lease.holder': 'checkout',
        'dibs.fence': lease.attributes['dibs.fence'],
      });
      expect(wait.tookMs, `waiter ${at}`).toBeGreaterThan(REBUILD_MS * 0.9);
    }
  });

  it('record in the span of the rebuild how it ended and how many callers it served', () => {
    const [lease] = receiver.named('dibs.lease') as [ReceivedSpan];
    expect(lease.attributes).toMatchObject({
      'dibs.lease.reason': 'miss',
      'dibs.outcome': 'stored',
      'dibs.served_here': 2,
    });
    expect(lease.tookMs).toBeGreaterThan(REBUILD_MS * 0.9);
    const publish = serverSpan(holder, PUBLISH);
    expect(publish).toMatchObject({ parentId: holder.spanId, kind: SERVER });
    expect(publish.attributes).toMatchObject({ 'dibs.outcome': 'stored' });
    expect(
      receiver.childrenOf(publish).map(({ name, attributes }) => [name, attributes['dibs.served_here']]),
    ).toEqual([['dibs.publish', 2]]);
  });

  it('contain hashes of keys, and not the keys', () => {
    const hashes = receiver.spans.map(({ attributes }) => attributes['dibs.key.hash']).filter(Boolean);
    expect(new Set(hashes).size).toBe(1);
    expect(JSON.stringify(receiver.spans)).not.toContain(key);
  });

  it('go to the same collector as the metrics', async () => {
    await until(() => receiver.metrics.has('dibs_get_or_lock_total'));
  });
});

describe('a replica with tracing', () => {
  let receiver: OtlpReceiver;
  beforeAll(async () => {
    receiver = await OtlpReceiver.start();
  });
  afterAll(() => receiver.stop());

  it('traces each call of a session separately, with its own traceparent', async () => {
    const replica = await Replica.start(receiver.env);
    const session = await SessionCaller.open(replica.target);
    const [asker, refused] = [someTrace(), someTrace()];
    session.get({ key: 'in a session' }, { traceparent: asker.traceparent });
    session.get({ key: '' }, { traceparent: refused.traceparent });
    await until(() => session.replies.length === 2);
    await until(() => receiver.named(GET_OR_LOCK).length === 2);
    const spans = new Map(receiver.named(GET_OR_LOCK).map((span) => [span.traceId, span]));
    expect(spans.get(asker.traceId)).toMatchObject({
      parentId: asker.spanId,
      attributes: { 'dibs.outcome': 'lease' },
    });
    // A fault of the caller, not an error of the server.
    expect(spans.get(refused.traceId)).toMatchObject({
      statusCode: 0,
      attributes: { 'rpc.response.status_code': 'INVALID_ARGUMENT' },
    });
    session.drop();
    await replica.kill();
  });

  it('skips calls that their caller does not record, and by default most calls without a trace', async () => {
    receiver.spans.length = 0;
    const { OTEL_TRACES_SAMPLER_ARG: _all, ...env } = receiver.env;
    const replica = await Replica.start(env);
    const caller = new Caller(replica.target);
    await caller.getOrLock({ key: 'left out' }, someTrace('00'));
    const kept = someTrace();
    await caller.explain({ key: 'left out' });
    await caller.getOrLock({ key: 'kept', waitMs: 0 }, kept);
    await until(() => receiver.named(GET_OR_LOCK).length > 0);
    expect(receiver.named(GET_OR_LOCK).map(({ traceId }) => traceId)).toEqual([kept.traceId]);
    caller.close();
    await replica.kill();
  });

  it('records keys if the namespace allows it, and begins a trace for a call without one', async () => {
    receiver.spans.length = 0;
    const replica = await Replica.start({
      ...receiver.env,
      DIBS_CONFIG: 'test/support/otlp/clear-keys.yaml',
    });
    const caller = new Caller(replica.target);
    await caller.lease({ namespace: 'public', key: 'in clear' });
    const { lease } = await caller.explain({ namespace: 'public', key: 'in clear' });
    await until(() => receiver.named(GET_OR_LOCK).length > 0);
    const [call] = receiver.named(GET_OR_LOCK) as [ReceivedSpan];
    expect(call.attributes).toMatchObject({ 'dibs.key': 'in clear', 'dibs.namespace': 'public' });
    expect(call.parentId).toBe('');
    expect(lease?.traceparent).toMatch(new RegExp(`^00-${call.traceId}-[0-9a-f]{16}-01$`));
    caller.close();
    await replica.kill();
  });

  it('serves and stops in time if the collector does not answer', async () => {
    const replica = await Replica.start({
      ...receiver.env,
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1',
    });
    const caller = new Caller(replica.target);
    await caller.getOrLock({ key: 'untold' }, someTrace());
    const before = performance.now();
    replica.signal('SIGTERM');
    expect(await replica.ended).toMatchObject({ code: 0 });
    // An export may take a minute.
    expect(performance.now() - before).toBeLessThan(30_000);
    caller.close();
  });
});
