import { Client, type ServiceError, status } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  ExtendOutcome,
  PublishOutcome,
  ReleaseOutcome,
} from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { AccessTrial, namespace, type PERMISSIONS } from '../support/access-trial.js';
import { Caller, textOf } from '../support/caller.js';
import { SessionCaller } from '../support/session-caller.js';
import { channelOf, type ShownBy } from '../support/shown-by.js';
import { until } from '../support/until.js';

const read = { namespace, key: 'any', intent: 2, waitMs: 0 };
const denied = { code: status.PERMISSION_DENIED };
const unauthenticated = { code: status.UNAUTHENTICATED };

let trial: AccessTrial;
beforeAll(async () => {
  trial = await AccessTrial.start();
});
afterAll(() => trial.stop());
afterEach(() => trial.closeAll());

describe('a caller', () => {
  it.each([undefined, 'wrong', 'checkout2', 'CHECKOUT'])('has no identity by the token %s', async (token) => {
    await expect(trial.by(token).getOrLock(read)).rejects.toMatchObject(unauthenticated);
    const many = async () => {
      for await (const _ of trial.by(token).getOrLockMany({ namespace, keys: ['a'] })) expect.unreachable();
    };
    await expect(many()).rejects.toMatchObject(unauthenticated);
    const opening = new SessionCaller(trial.socket, token === undefined ? {} : { token });
    opening.hello();
    await until(() => opening.ended !== undefined);
    expect(opening.ended).toMatchObject(unauthenticated);
    opening.drop();
  });

  it('is recognised by either of its tokens', async () => {
    for (const token of ['checkout', 'checkout-old'])
      expect(await trial.by(token).getOrLock(read)).toBeDefined();
  });

  it('is refused for its token before its request is read', async () => {
    await expect(trial.by('wrong').getOrLock({ namespace: 'no such name!' })).rejects.toMatchObject(
      unauthenticated,
    );
  });

  it('is recognised by its certificate, whatever its common name', async () => {
    const reached = async (names: string, subject?: string) => {
      const issued = trial.authority.issue({ names, ...(subject === undefined ? {} : { subject }) });
      const tls = { ca: trial.authority.ca, ...issued };
      return trial.closed(new Caller(trial.tlsTarget, { tls })).lease({ namespace, key: `of ${names}` });
    };
    expect((await reached('DNS:checkout.shop.svc')).token).toMatch(/\.checkout$/);
    expect((await reached('URI:spiffe://prod/search')).token).toMatch(/\.search$/);
    const stranger = reached('DNS:stranger.svc', '/CN=checkout.shop.svc');
    await expect(stranger).rejects.toMatchObject(unauthenticated);
  });

  it('needs a token for reflection, and none for health', async () => {
    const call = (shownBy: ShownBy, path: string) =>
      new Promise<number>((resolve) => {
        const client = trial.closed(new Client(trial.socket, ...channelOf(shownBy)));
        const stream = client.makeBidiStreamRequest(
          path,
          () => Buffer.from([0x3a, 0]), // list_services: ""
          (bytes) => bytes,
        );
        stream.on('data', () => {});
        stream.on('error', () => {});
        stream.on('status', ({ code }) => resolve(code));
        stream.write({});
        stream.end();
      });
    const path = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';
    expect(await call({}, path)).toBe(status.UNAUTHENTICATED);
    expect(await call({ token: 'only-read' }, path)).toBe(status.OK);
    const client = trial.closed(new Client(trial.socket, ...channelOf({})));
    const healthy = await new Promise((resolve, reject) => {
      const done = (error: ServiceError | null, value?: Buffer) => (error ? reject(error) : resolve(value));
      const bytes = (value: Buffer) => value;
      client.makeUnaryRequest('/grpc.health.v1.Health/Check', bytes, bytes, Buffer.alloc(0), done);
    });
    // status: SERVING
    expect(healthy).toEqual(Buffer.from([8, 1]));
  });
});

describe('a permission', () => {
  const first = async (answers: AsyncIterable<unknown>) => {
    for await (const answer of answers) return answer;
    return undefined;
  };
  const calls: [string, (typeof PERMISSIONS)[number], (caller: Caller) => Promise<unknown>][] = [
    ['GetOrLock that reads', 'read', (it) => it.getOrLock(read)],
    ['GetOrLock that may rebuild', 'lease', (it) => it.getOrLock({ namespace, key: 'k', waitMs: 0 })],
    ['GetOrLock that rebuilds', 'lease', (it) => it.getOrLock({ namespace, key: 'k', intent: 3, waitMs: 0 })],
    [
      'GetOrLockMany that reads',
      'read',
      (it) => first(it.getOrLockMany({ namespace, keys: ['a'], intent: 2 })),
    ],
    [
      'GetOrLockMany that may rebuild',
      'lease',
      (it) => first(it.getOrLockMany({ namespace, keys: ['b'], waitMs: 0 })),
    ],
    ['Release', 'lease', (it) => it.release({ namespace, key: 'k', token: 't' })],
    ['Extend', 'lease', (it) => it.extend({ namespace, key: 'k', token: 't' })],
    [
      'Publish',
      'publish',
      (it) =>
        it.publish({ namespace, key: 'k', token: 't', payload: { $case: 'absent', value: true }, ttlMs: 1 }),
    ],
    ['Invalidate', 'invalidate', (it) => it.invalidate({ namespace, keys: ['k'] })],
    ['Explain', 'explain', (it) => it.explain({ namespace, key: 'k' })],
  ];

  it.each(calls)('is needed for %s: %s, and no other', async (_call, permission, call) => {
    await call(trial.by(`only-${permission}`));
    const refused = call(trial.by(`not-${permission}`));
    const text = `identity not-${permission} lacks the permission ${permission} in namespace shop`;
    await expect(refused).rejects.toMatchObject({ ...denied, details: text });
  });

  it.each(calls.slice(5))('is needed for %s on a session too: %s', async (name, permission) => {
    const $case = name.toLowerCase() as 'release';
    const value = { namespace, key: 'k', keys: ['k'], tags: [], token: 't', ttlMs: 1, mode: 0, all: false };
    const payload = { $case: 'absent', value: true };
    const request = { $case, value: { ...value, payload } } as unknown as Parameters<SessionCaller['ask']>[0];
    const allowed = await trial.session(`only-${permission}`);
    expect((await allowed.replyTo(allowed.ask(request))).$case).toBe($case);
    const refused = await trial.session(`not-${permission}`);
    const reply = await refused.replyTo(refused.ask(request));
    expect(reply).toMatchObject({ $case: 'error', value: denied });
  });

  it('applies to one namespace only, and a refusal does not show whether a key exists', async () => {
    const { token } = await trial.by('checkout').lease({ namespace, key: 'there' });
    const payload = { $case: 'absent', value: true } as const;
    await trial.by('checkout').publish({ namespace, key: 'there', token, payload, ttlMs: 60_000 });
    const refusalOf = (request: object) =>
      trial
        .by('not-read')
        .getOrLock({ ...read, ...request })
        .catch(({ details }) => details);
    expect(await refusalOf({ key: 'there' })).toBe(await refusalOf({ key: 'not there' }));
    expect(await trial.by('not-read').getOrLock({ ...read, namespace: 'other' })).toBeDefined();
    await expect(trial.by('checkout').getOrLock({ ...read, namespace: 'other' })).rejects.toMatchObject(
      denied,
    );
    await expect(trial.by('checkout').getOrLock({ ...read, namespace: '' })).rejects.toMatchObject(denied);
  });

  it('is needed for each namespace that a session watches', async () => {
    const watching = await trial.session('only-read', { watchedNamespaces: [namespace] });
    await trial.by('checkout').invalidate({ namespace, keys: ['watched'] });
    await until(() => watching.events.length > 0);
    const refused = new SessionCaller(trial.socket, { token: 'not-read' });
    trial.closed({ close: () => refused.drop() });
    refused.hello({ watchedNamespaces: ['other', namespace] });
    await until(() => refused.ended !== undefined);
    expect(refused.ended).toMatchObject(denied);
  });
});

it("no identity ends, extends or uses another identity's lease", async () => {
  const { token } = await trial.by('checkout').lease({ namespace, key: 'theirs' });
  for (const stolen of [token, token.replace('.checkout', '.search')]) {
    const it = { namespace, key: 'theirs', token: stolen };
    const payload = { $case: 'value', value: Buffer.from('poison') } as const;
    const { outcome } = await trial.by('search').publish({ ...it, payload, ttlMs: 60_000 });
    expect(outcome).not.toBe(PublishOutcome.PUBLISH_OUTCOME_STORED);
    expect((await trial.by('search').release(it)).outcome).toBe(ReleaseOutcome.RELEASE_OUTCOME_NOT_HELD);
    expect((await trial.by('search').extend(it)).outcome).toBe(ExtendOutcome.EXTEND_OUTCOME_LOST);
  }
  // Its own lease, with its other token.
  const own = { namespace, key: 'theirs', token };
  expect((await trial.by('checkout-old').extend(own)).outcome).toBe(ExtendOutcome.EXTEND_OUTCOME_EXTENDED);
  const payload = { $case: 'value', value: Buffer.from('right') } as const;
  await trial.by('checkout').publish({ ...own, payload, ttlMs: 60_000 });
  expect(textOf(await trial.by('search').getOrLock({ namespace, key: 'theirs' }))).toBe('right');
});

it('a session is resumed by its own identity only', async () => {
  const broken = await trial.session('checkout');
  const { token } = await broken.lease({ namespace, key: 'resumed' });
  const { resumeToken } = broken.welcome;
  broken.drop();
  const stranger = await trial.session('search', { resumeToken });
  expect(stranger.welcome).toMatchObject({ resumed: false });
  expect(stranger.welcome.resumeToken).not.toBe(resumeToken);
  let back = await trial.session('checkout-old', { resumeToken });
  // The end of the first stream may arrive after the new one.
  for (; !back.welcome.resumed; back = await trial.session('checkout-old', { resumeToken })) back.drop();
  const reply = await back.replyTo(
    back.ask({ $case: 'extend', value: { namespace, key: 'resumed', token, leaseMs: undefined } }),
  );
  expect(reply).toMatchObject({ value: { outcome: ExtendOutcome.EXTEND_OUTCOME_EXTENDED } });
});

describe('bounds', () => {
  it('of calls allow a burst, refuse one more with a time to retry, and refuse no other caller', async () => {
    const hasty = trial.by('hasty');
    const ends = await Promise.allSettled(Array.from({ length: 60 }, () => hasty.getOrLock(read)));
    const refused = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason as ServiceError] : []));
    const [first] = refused;
    expect(ends.length - refused.length).toBeGreaterThanOrEqual(5);
    expect(refused.length).toBeGreaterThan(10);
    expect(first).toMatchObject({ code: status.RESOURCE_EXHAUSTED, details: /5 calls a second/ });
    const retryMs = Number(first?.metadata.get('grpc-retry-pushback-ms')[0]);
    expect(retryMs).toBeGreaterThan(0);
    expect(retryMs).toBeLessThanOrEqual(200);
    await trial.by('checkout').getOrLock(read);
    await new Promise((resolve) => setTimeout(resolve, 250));
    await hasty.getOrLock(read);
  });

  it('of waiters allow that many, refuse one more, and refuse no other caller', async () => {
    const { token } = await trial.by('checkout').lease({ namespace, key: 'crowded', leaseMs: 30_000 });
    const crowd = trial.by('crowd');
    const wait = (caller: Caller, key = 'crowded') =>
      caller.getOrLock({ namespace, key, intent: 2, waitMs: 20_000 });
    const waiting = Array.from({ length: 3 }, () => wait(crowd));
    const other = wait(trial.by('only-read'));
    const refusal = { code: status.RESOURCE_EXHAUSTED, details: /3 callers of crowd wait on this replica/ };
    await until(async () => {
      const late = crowd.getOrLock(read).then(
        () => undefined,
        (error: ServiceError) => error,
      );
      return (await late)?.code === status.RESOURCE_EXHAUSTED;
    });
    await expect(wait(crowd, 'another')).rejects.toMatchObject(refusal);
    const payload = { $case: 'value', value: Buffer.from('v') } as const;
    await trial.by('checkout').publish({ namespace, key: 'crowded', token, payload, ttlMs: 60_000 });
    for (const answer of await Promise.all([...waiting, other])) expect(textOf(answer)).toBe('v');
    await crowd.getOrLock(read);
  });
});
