import { expect, test } from 'vitest';
import type { LockNode } from '../../../src/quorum/lock-node.js';
import { RedisLockNode } from '../../../src/redis/lock-node.js';
import { describeWithRedis } from '../../support/describe-with-redis.js';
import { PATIENCE } from '../../support/patience.js';
import { freePort, RedisServer } from '../../support/redis-server.js';

const silent = { connected: () => {}, disconnected: () => {} };

test('is what the quorum calls a lock node, and is named without its password', async () => {
  const node: LockNode = new RedisLockNode(
    {
      ...{ kind: 'single', tls: false, host: '127.0.0.1', port: 7001, db: 0 },
      ...{ username: 'user', password: 'secret' },
    },
    PATIENCE,
  );
  expect(node.name).toBe('127.0.0.1:7001');
  await node.close();
});

test('says why it cannot connect, again and again, until it is closed', async () => {
  const node = new RedisLockNode(
    {
      ...{ kind: 'single', tls: false, host: '127.0.0.1', port: await freePort(), db: 0 },
    },
    PATIENCE,
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
  async function withNode(test: (node: RedisLockNode) => Promise<void>) {
    const server = await RedisServer.start();
    const node = new RedisLockNode(server.address, PATIENCE);
    await new Promise<void>((resolve) => node.start({ ...silent, connected: resolve }));
    await test(node);
    await node.close();
    await server.stop();
  }

  test('does not vote for another run than the one that its marker names', () =>
    withNode(async (node) => {
      await node.prepare();
      const { run } = await node.inspect();
      expect(await node.acquire(run, 'a', 'n', 1_000)).toBe('unmarked');
      const memory = await node.recall(run, 60_000);
      if (memory.kind === 'marked') throw new Error('it is new');
      expect(await node.mark(run, `${memory.since}0`, true)).toBe(false);
      expect(await node.mark(`${run}x`, memory.since, true)).toBe(false);
      expect(await node.mark(run, memory.since, false)).toBe(false);
      expect(await node.mark(run, memory.since, true)).toBe(true);
      expect(await node.recall(run, 60_000)).toEqual({ kind: 'marked' });
      expect(await node.acquire(run, 'a', 'n', 1_000)).toBe('done');
      expect(await node.acquire(`${run}x`, 'b', 'n', 1_000)).toBe('unmarked');
      expect(await node.extend(`${run}x`, 'a', 'n', 1_000)).toBe('unmarked');
      expect(await node.extend(run, 'a', 'other', 1_000)).toBe('held');
      await node.unmark();
      expect(await node.acquire(run, 'b', 'n', 1_000)).toBe('unmarked');
    }));

  test('does not take what it waited in another run for its wait: an old snapshot brings that along', () =>
    withNode(async (node) => {
      await node.prepare();
      const before = await node.recall('an-old-run', 50);
      if (before.kind === 'marked') throw new Error('it is new');
      await new Promise((resolve) => setTimeout(resolve, 60));
      const memory = await node.recall('a-new-run', 50);
      if (memory.kind === 'marked') throw new Error('it is new');
      expect(memory.since).not.toBe(before.since);
      expect(memory.leftMs).toBeGreaterThan(0);
      expect(await node.mark('a-new-run', before.since, false)).toBe(false);
      expect(await node.mark('a-new-run', memory.since, false)).toBe(false);
    }));

  test('does not take a marker of another run for none, not even at a first start', () =>
    withNode(async (node) => {
      await node.prepare();
      const { run } = await node.inspect();
      const before = await node.recall('an-old-run', 1);
      if (before.kind === 'marked') throw new Error('it is new');
      expect(await node.mark('an-old-run', before.since, true)).toBe(true);
      const memory = await node.recall(run, 60_000);
      expect(memory).toMatchObject({ kind: 'waiting', blank: false });
      if (memory.kind === 'waiting') expect(await node.mark(run, memory.since, true)).toBe(false);
    }));

  test('says that it is unprepared instead of taking the source', () =>
    withNode(async (node) => {
      expect(await node.acquire('run', 'a', 'n', 1_000)).toBe('unprepared');
      expect(await node.extend('run', 'a', 'n', 1_000)).toBe('unprepared');
      await expect(node.release('a', 'n')).resolves.toBeUndefined();
    }));

  test('writes what was sent before it closes', async () => {
    const server = await RedisServer.start();
    const [node, other] = [
      new RedisLockNode(server.address, PATIENCE),
      new RedisLockNode(server.address, PATIENCE),
    ];
    for (const each of [node, other])
      await new Promise<void>((resolve) => each.start({ ...silent, connected: resolve }));
    await node.prepare();
    const { run } = await node.inspect();
    const memory = await node.recall(run, 1);
    if (memory.kind === 'waiting') await node.mark(run, memory.since, true);
    await node.acquire(run, 'a', 'n', 60_000);
    node.release('a', 'n').catch(() => {});
    await node.close();
    expect(await other.acquire(run, 'a', 'm', 1_000)).toBe('done');
    await other.close();
    await server.stop();
  });
});
