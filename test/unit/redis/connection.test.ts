import { rmSync } from 'node:fs';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { StoreUnavailable } from '../../../src/coordination/ports/value-store.js';
import { MemoryWakeChannel } from '../../../src/memory/wake-channel.js';
import { retryMs } from '../../../src/redis/client.js';
import { StoreConnection } from '../../../src/redis/connection.js';
import { recordKey } from '../../../src/redis/keys.js';
import { RedisValueStore } from '../../../src/redis/value-store.js';
import { describeWithRedis } from '../../support/describe-with-redis.js';
import { MUCH_PATIENCE, PATIENCE } from '../../support/patience.js';
import { RedisServer } from '../../support/redis-server.js';
import { inRounds } from '../../support/rounds.js';
import { LONG_MS, StoreTrial } from '../../support/store-trial.js';
import { until } from '../../support/until.js';

test('connection attempts come at growing intervals, up to a second, and replicas do not retry in step', () => {
  for (let tries = 1; tries < 50; tries++) {
    const fullMs = Math.min(1000, 50 * 2 ** (tries - 1));
    expect(retryMs(tries)).toBeGreaterThanOrEqual(fullMs / 2);
    expect(retryMs(tries)).toBeLessThanOrEqual(fullMs);
  }
  expect(new Set(Array.from({ length: 50 }, () => retryMs(9))).size).toBeGreaterThan(10);
});

/** Whether the store answers a ping. */
function answers(connection: StoreConnection): Promise<boolean> {
  return connection.ping().then(
    () => true,
    () => false,
  );
}

/** The error that the call is rejected with. */
function rejection(call: Promise<unknown>): Promise<Error> {
  return call.then(
    () => {
      throw new Error('it was not rejected');
    },
    (error: Error) => error,
  );
}

describeWithRedis('the connection to the store', () => {
  let server: RedisServer;
  let admin: Redis;
  let connection: StoreConnection;
  let store: RedisValueStore;
  let errors: string[];

  const connected = () => until(() => answers(connection));

  /** Connects in place of the connection so far. Only silence needs a short `silenceMs`: a busy server is late. */
  async function connect(silenceMs: number): Promise<void> {
    connection?.close();
    const onTrouble = ({ why }: { why: string }) => errors.push(why);
    connection = new StoreConnection(server.address, { ...PATIENCE, silenceMs, onTrouble });
    store = new RedisValueStore(connection);
    await connected();
  }

  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    errors = [];
    admin = new Redis(server.url);
    admin.on('error', () => {});
    await connect(MUCH_PATIENCE.silenceMs);
  });
  afterEach(() => {
    connection.close();
    admin.disconnect();
  });

  test('runs a step', async () => {
    expect(await store.read('a')).toEqual({ fence: 0, valueFence: 0 });
  });

  test('runs a step even after the server has forgotten its scripts', async () => {
    await store.read('a');
    await admin.script('FLUSH');
    expect(await store.read('a')).toEqual({ fence: 0, valueFence: 0 });
  });

  test('rejects steps at once while there is no server, and works again when it is back', async () => {
    await server.kill();
    await until(() => errors.length > 0);
    const error = await rejection(store.read('a'));
    expect(error).toBeInstanceOf(StoreUnavailable);
    await server.restart();
    await connected();
    expect(await store.read('a')).toEqual({ fence: 0, valueFence: 0 });
  });

  test('rejects a step whose connection breaks, and never sends it again', async () => {
    const patientErrors: string[] = [];
    const patient = new StoreConnection(server.address, {
      ...MUCH_PATIENCE,
      onTrouble: ({ why }) => patientErrors.push(why),
    });
    const patientStore = new RedisValueStore(patient);
    await until(() => answers(patient));
    await admin.client('PAUSE', 30_000, 'WRITE');
    let settled: Error | undefined;
    void rejection(patientStore.invalidate('resent', { mode: 'delete', keepMs: 10_000 })).then((error) => {
      settled = error;
    });
    await until(async () => /dibs-store.*flags=[a-zA-Z]*b/.test(String(await admin.client('LIST'))));
    await server.kill();
    // A reconnect has failed. A client that keeps the step for later would have kept it by now.
    await until(() => patientErrors.some((why) => why.includes('ECONNREFUSED')));
    expect(settled).toBeInstanceOf(StoreUnavailable);
    await server.restart();
    await until(() => answers(patient));
    expect(await patientStore.read('resent')).toEqual({ fence: 0, valueFence: 0 });
    patient.close();
  });

  test('waits for a late server, and sends nothing twice', async () => {
    server.hang();
    const reads = Promise.all(Array.from({ length: 20 }, () => store.read('a')));
    const invalidated = store.invalidate('late', { mode: 'delete', keepMs: 10_000 });
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(connection.silent).toBe(false);
    server.resume();
    expect(await reads).toHaveLength(20);
    const { fence } = await invalidated;
    // A second invalidation would have raised it.
    expect((await store.read('late')).fence).toBe(fence);
  });

  test('makes all callers of a hanging server wait for one silence together', async () => {
    await connect(PATIENCE.silenceMs);
    server.hang();
    const startedMs = performance.now();
    const first = await Promise.all(Array.from({ length: 20 }, () => rejection(store.read('a'))));
    const waitedMs = performance.now() - startedMs;
    for (const error of first) expect(error).toMatchObject({ name: 'StoreUnavailable', how: 'silent' });
    expect(waitedMs).toBeGreaterThan(PATIENCE.silenceMs - 100);
    expect(connection.silent).toBe(true);
    // A new caller does not have to wait: no timer is involved, only what is due already.
    let settled = 0;
    const later = Array.from({ length: 20 }, () => rejection(store.read('a')).then(() => settled++));
    await new Promise((resolve) => setImmediate(resolve));
    expect(settled).toBe(20);
    await Promise.all(later);
    // After twice that time the server counts as gone.
    await until(async () => ((await rejection(store.read('a'))) as { how?: string }).how === 'gone');
    expect(performance.now() - startedMs).toBeGreaterThan(2 * PATIENCE.silenceMs - 200);

    server.resume();
    await until(() => !connection.silent);
    await connected();
    expect(await store.read('a')).toEqual({ fence: 0, valueFence: 0 });
  });

  test('is not silent while something arrives on another connection', async () => {
    const brisk = new StoreConnection(server.address, { ...PATIENCE, silenceMs: 300 });
    await until(() => answers(brisk));
    server.hang();
    const read = rejection(new RedisValueStore(brisk).read('a'));
    const wakes = setInterval(() => brisk.heard(), 50);
    // The connection is replaced. That does not concern the store.
    expect(await read).toMatchObject({ how: 'late' });
    expect(brisk.silent).toBe(false);
    clearInterval(wakes);
    server.resume();
    brisk.close();
  });

  test('replaces a connection that stays silent', async () => {
    await connect(PATIENCE.silenceMs);
    const newest = async () => {
      const clients = String(await admin.client('LIST'));
      return Math.max(...[...clients.matchAll(/^id=(\d+) .*name=dibs-store/gm)].map(([, id]) => Number(id)));
    };
    const before = await newest();
    server.hang();
    await rejection(store.read('a'));
    await until(() => errors.some((why) => why.includes('no reply of the store within')));
    server.resume();
    await connected();
    expect(await newest()).toBeGreaterThan(before);
  });

  test('does not take a stall of this process for a silent store', () =>
    inRounds([200, 1_000], async (silenceMs) => {
      const brisk = new StoreConnection(server.address, { ...PATIENCE, silenceMs });
      await until(() => answers(brisk));
      const pong = brisk.ping();
      await new Promise((resolve) => setImmediate(resolve));
      const untilMs = performance.now() + 3 * silenceMs;
      while (performance.now() < untilMs);
      await expect(pong.finally(() => brisk.close())).resolves.toBeUndefined();
    }));

  test('reports a full store as unavailable to steps that need room, and still releases and invalidates', async () => {
    const trial = new StoreTrial({
      store,
      channel: new MemoryWakeChannel(),
      pass: async () => {},
      close: async () => {},
    });
    await trial.stored('n1', { staleMs: LONG_MS });
    await trial.arm('n2');
    await admin.config('SET', 'maxmemory', '1');
    const error = await rejection(trial.publish('n2'));
    const released = await trial.fail('n2');
    const marked = await trial.invalidate('mark_stale');
    const dropped = await trial.invalidate('delete');
    const untouched = await rejection(trial.arm('n3'));
    await admin.config('SET', 'maxmemory', '0');
    expect(error).toBeInstanceOf(StoreUnavailable);
    expect(error.message).toContain('OOM');
    expect(untouched).toBeInstanceOf(StoreUnavailable);
    expect({ released, marked, dropped }).toEqual({
      released: 'released',
      marked: { hadValue: true, fence: expect.any(Number) },
      dropped: { hadValue: true, fence: expect.any(Number) },
    });
    expect((await trial.arm('n3')).armed).toBe(true);
  });

  test('reports a replica that refuses writes as unavailable', async () => {
    await admin.replicaof('127.0.0.1', '1');
    const error = await rejection(store.invalidate('a', { mode: 'delete', keepMs: 1 }));
    await admin.replicaof('NO', 'ONE');
    expect(error).toBeInstanceOf(StoreUnavailable);
    expect(error.message).toContain('READONLY');
  });

  test('reports a server whose snapshots fail as unavailable', async () => {
    const failing = await RedisServer.start();
    const failingAdmin = new Redis(failing.url);
    const failingConnection = new StoreConnection(failing.address, MUCH_PATIENCE);
    await until(() => answers(failingConnection));
    await failingAdmin.config('SET', 'save', '1000 1000');
    // Nothing can be written into a missing folder.
    rmSync(failing.dir, { recursive: true });
    await failingAdmin.bgsave();
    await until(async () =>
      String(await failingAdmin.info('persistence')).includes('rdb_last_bgsave_status:err'),
    );
    const step = new RedisValueStore(failingConnection).invalidate('a', { mode: 'delete', keepMs: 1 });
    const error = await rejection(step);
    failingConnection.close();
    failingAdmin.disconnect();
    await failing.stop();
    expect(error).toBeInstanceOf(StoreUnavailable);
    expect(error.message).toContain('MISCONF');
  });

  test('looks for the master when a gathered step learns that this server is read-only', async () => {
    const readOnly = await RedisServer.start();
    let ready = 0;
    const onReady = () => {
      ready += 1;
    };
    const moved = new StoreConnection(readOnly.address, { ...MUCH_PATIENCE, onReady });
    await until(() => answers(moved));
    expect(ready).toBe(1);
    await readOnly.command('REPLICAOF', '127.0.0.1', '1');
    const trial = new StoreTrial({
      ...{ store: new RedisValueStore(moved), channel: new MemoryWakeChannel() },
      ...{ pass: async () => {}, close: async () => {} },
    });
    const none = { fence: 0, valueFence: 0 };
    const arms = [trial.armAsRead(none, 'n'), trial.another().armAsRead(none, 'n')];
    for (const error of await Promise.all(arms.map(rejection))) {
      expect(error).toBeInstanceOf(StoreUnavailable);
      expect(error.message).toContain('READONLY');
    }
    await until(() => ready === 2);
    moved.close();
    await readOnly.stop();
  });

  test('reports a foreign value under the name of a key, without the command and its secrets', async () => {
    await admin.set(recordKey('a'), 'not a hash');
    const error = await rejection(
      store.extend('a', {
        nonce: 's3cret',
        expiresInMs: 1,
        holdMs: 86_400_000,
        quorumLost: false,
        group: 'g',
        keepMs: 1,
      }),
    );
    await admin.del(recordKey('a'));
    expect(error).toMatchObject({ name: 'CoordinationError', kind: 'failed_precondition' });
    expect(error.message).toContain('WRONGTYPE');
    expect(JSON.stringify({ ...error })).not.toContain('s3cret');
  });

  test.for([
    ['a lease that is no JSON', { nonce: 'n', lease: 's3cret' }],
    ['tags that are no JSON', { servable_until: 9e15, tags: 's3cret' }],
    ['a time that is no number', { nonce: 'n', lease: '{}', armed_at: 's3cret' }],
    ['a past lease that is no JSON', { fence: 1, past: 's3cret' }],
  ] as const)('reports %s as a foreign value, without its text', async ([, fields]) => {
    await admin.hset(recordKey('a'), fields);
    const error = await rejection(store.explain('a'));
    await admin.del(recordKey('a'));
    expect(error).toMatchObject({ name: 'CoordinationError', kind: 'failed_precondition' });
    expect(error.message).not.toContain('s3cret');
    // Other keys are served.
    expect((await store.explain('b')).past).toEqual([]);
  });

  test('rejects waiting and new steps once it is closed, and leaves no connection', async () => {
    server.hang();
    const waiting = rejection(store.read('a'));
    connection.close();
    expect(await waiting).toBeInstanceOf(StoreUnavailable);
    expect(await rejection(store.read('a'))).toBeInstanceOf(StoreUnavailable);
    server.resume();
    await until(async () => !String(await admin.client('LIST')).includes('name=dibs-store'));
  });
});
