import { Redis } from 'ioredis';
import { expect, test } from 'vitest';
import { keyOf } from '../../../src/coordination/words/key.js';
import type { LockNode, TakeReply, TakeStep } from '../../../src/quorum/lock-node.js';
import { RedisLockNode } from '../../../src/redis/lock-node.js';
import { describeWithRedis } from '../../support/describe-with-redis.js';
import { MUCH_PATIENCE } from '../../support/patience.js';
import { RedisServer } from '../../support/redis-server.js';

/** A call with one step. */
async function takeOne(
  node: RedisLockNode,
  kind: TakeStep['kind'],
  run: string,
  id: string,
  nonce: string,
): Promise<TakeReply | undefined> {
  const [reply] = await node.take(run, [{ kind, id, nonce, ttlMs: 60_000 }]);
  return reply;
}

const silent = { connected: () => {}, disconnected: () => {} };

test('implements LockNode, and its name has no password', async () => {
  const node: LockNode = new RedisLockNode(
    {
      ...{ kind: 'single', tls: false, host: '127.0.0.1', port: 7001, db: 0 },
      ...{ username: 'user', password: 'secret' },
    },
    MUCH_PATIENCE,
  );
  expect(node.name).toBe('127.0.0.1:7001');
  await node.close();
});

test('reports why it cannot connect, repeatedly, until it is closed', async () => {
  // Port 1 is for a service that no machine has.
  const node = new RedisLockNode(
    {
      ...{ kind: 'single', tls: false, host: '127.0.0.1', port: 1, db: 0 },
    },
    MUCH_PATIENCE,
  );
  const told: string[] = [];
  await new Promise<void>((resolve) => {
    node.start({ connected: () => {}, disconnected: (why) => told.push(why) === 2 && resolve() });
  });
  expect(told[0]).toContain('ECONNREFUSED');
  await expect(node.ping()).rejects.toThrow();
  await node.close();
  await node.close();
});

describeWithRedis('a lock node', () => {
  async function withNode(test: (node: RedisLockNode, server: RedisServer) => Promise<void>) {
    const server = await RedisServer.start();
    const node = new RedisLockNode(server.address, MUCH_PATIENCE);
    await new Promise<void>((resolve) => node.start({ ...silent, connected: resolve }));
    await test(node, server);
    await node.close();
    await server.stop();
  }

  /** A node that votes. */
  const withMarked = (test: (node: RedisLockNode, run: string, server: RedisServer) => Promise<void>) =>
    withNode(async (node, server) => {
      await node.prepare();
      const { run } = await node.inspect();
      const memory = await node.recall(run, 60_000);
      if (memory.kind === 'waiting') await node.mark(run, memory.since, true);
      await test(node, run, server);
    });

  test('does not vote for a run other than the one that its marker names', () =>
    withNode(async (node) => {
      await node.prepare();
      const { run } = await node.inspect();
      expect(await takeOne(node, 'acquire', run, 'a', 'n')).toBe('unmarked');
      const memory = await node.recall(run, 60_000);
      if (memory.kind === 'marked') throw new Error('expected a new node');
      expect(await node.mark(run, `${memory.since}0`, true)).toBe(false);
      expect(await node.mark(`${run}x`, memory.since, true)).toBe(false);
      expect(await node.mark(run, memory.since, false)).toBe(false);
      expect(await node.mark(run, memory.since, true)).toBe(true);
      expect(await node.recall(run, 60_000)).toEqual({ kind: 'marked' });
      expect(await takeOne(node, 'acquire', run, 'a', 'n')).toBe('done');
      expect(await takeOne(node, 'acquire', `${run}x`, 'b', 'n')).toBe('unmarked');
      expect(await takeOne(node, 'extend', `${run}x`, 'a', 'n')).toBe('unmarked');
      expect(await takeOne(node, 'extend', run, 'a', 'other')).toBe('held');
      await node.unmark();
      expect(await takeOne(node, 'acquire', run, 'b', 'n')).toBe('unmarked');
    }));

  test('does not count a wait in another run, which an old snapshot may contain', () =>
    withNode(async (node) => {
      await node.prepare();
      const before = await node.recall('an-old-run', 50);
      if (before.kind === 'marked') throw new Error('expected a new node');
      await new Promise((resolve) => setTimeout(resolve, 60));
      const memory = await node.recall('a-new-run', 60_000);
      if (memory.kind === 'marked') throw new Error('expected a new node');
      expect(memory.since).not.toBe(before.since);
      expect(memory.leftMs).toBeGreaterThan(0);
      expect(await node.mark('a-new-run', before.since, false)).toBe(false);
      expect(await node.mark('a-new-run', memory.since, false)).toBe(false);
    }));

  test('does not take a marker of another run for none, even at a first start', () =>
    withNode(async (node) => {
      await node.prepare();
      const { run } = await node.inspect();
      const before = await node.recall('an-old-run', 1);
      if (before.kind === 'marked') throw new Error('expected a new node');
      expect(await node.mark('an-old-run', before.since, true)).toBe(true);
      const memory = await node.recall(run, 60_000);
      expect(memory).toMatchObject({ kind: 'waiting', blank: false });
      if (memory.kind === 'waiting') expect(await node.mark(run, memory.since, true)).toBe(false);
    }));

  test('reports that it is unprepared instead of accepting the source', () =>
    withNode(async (node) => {
      expect(await takeOne(node, 'acquire', 'run', 'a', 'n')).toBe('unprepared');
      expect(await takeOne(node, 'extend', 'run', 'a', 'n')).toBe('unprepared');
      await expect(node.free([{ id: 'a', nonce: 'n' }])).resolves.toBeUndefined();
    }));

  test('an error belongs to its step, and tells why', () =>
    withMarked(async (node, run, server) => {
      const other = new Redis(server.url);
      await other.lpush('dibs:lock:b', 'foreign');
      const step = (kind: TakeStep['kind'], id: string) => ({ kind, id, nonce: 'n', ttlMs: 60_000 });
      const replies = await node.take(run, [step('acquire', 'a'), step('extend', 'b'), step('acquire', 'c')]);
      expect(replies).toEqual(['done', expect.any(Error), 'done']);
      expect(replies[1]).toMatchObject({ name: 'Refused', message: expect.stringContaining('WRONGTYPE') });
      await node.free(['a', 'b', 'c'].map((id) => ({ id, nonce: 'n' })));
      expect(await other.keys('dibs:lock:*')).toEqual(['dibs:lock:b']);
      other.disconnect();
    }));

  test('applies the steps of a call in order', () =>
    withMarked(async (node, run) => {
      const step = (kind: TakeStep['kind'], nonce: string) => ({ kind, id: 'a', nonce, ttlMs: 60_000 });
      const steps = [step('acquire', 'n'), step('extend', 'm'), step('acquire', 'm'), step('extend', 'n')];
      expect(await node.take(run, steps)).toEqual(['done', 'held', 'held', 'done']);
    }));

  test('a full node refuses to take locks, with its reason, and still frees them', () =>
    withMarked(async (node, run, server) => {
      const other = new Redis(server.url);
      await takeOne(node, 'acquire', run, 'a', 'n');
      await other.config('SET', 'maxmemory', '1');
      const steps = ['b', 'c'].map((id) => ({ kind: 'acquire' as const, id, nonce: 'n', ttlMs: 60_000 }));
      const replies = await node.take(run, steps);
      for (const reply of replies) {
        expect(reply).toMatchObject({ name: 'Refused', message: expect.stringContaining('maxmemory') });
      }
      await node.free([{ id: 'a', nonce: 'n' }]);
      expect(await other.keys('dibs:lock:*')).toEqual([]);
      other.disconnect();
    }));

  test('accepts keys of the greatest length, and as many as a call may have', () =>
    withMarked(async (node, run) => {
      const steps = Array.from({ length: 128 }, (_, at) => ({
        kind: 'acquire' as const,
        id: keyOf('n'.repeat(64), `${at}`.padEnd(1_024, 'ü').slice(0, 512)).id,
        nonce: `${'x'.repeat(22)}.${'y'.repeat(64)}`,
        ttlMs: 60_000,
      }));
      expect(await node.take(run, steps)).toEqual(Array(128).fill('done'));
      expect(await node.take(run, steps)).toEqual(Array(128).fill('held'));
    }));

  test('sends its requests before it closes', async () => {
    const server = await RedisServer.start();
    const [node, other] = [
      new RedisLockNode(server.address, MUCH_PATIENCE),
      new RedisLockNode(server.address, MUCH_PATIENCE),
    ];
    for (const each of [node, other])
      await new Promise<void>((resolve) => each.start({ ...silent, connected: resolve }));
    await node.prepare();
    const { run } = await node.inspect();
    const memory = await node.recall(run, 1);
    if (memory.kind === 'waiting') await node.mark(run, memory.since, true);
    await takeOne(node, 'acquire', run, 'a', 'n');
    node.free([{ id: 'a', nonce: 'n' }]).catch(() => {});
    await node.close();
    expect(await takeOne(other, 'acquire', run, 'a', 'm')).toBe('done');
    await other.close();
    await server.stop();
  });
});
