import { EventEmitter } from 'node:events';
import type { Redis } from 'ioredis';
import { expect, it } from 'vitest';
import { ReplyWatch } from '../../../src/redis/reply-watch.js';

/** What the watch uses of an ioredis client. */
function trial() {
  const stream = Object.assign(new EventEmitter(), { destroy: (why: Error) => broken.push(why.message) });
  const broken: string[] = [];
  const queue: object[] = [];
  const commandQueue = {
    get length() {
      return queue.length;
    },
    peekFront: () => queue[0],
  };
  const client = Object.assign(new EventEmitter(), { stream, commandQueue, status: 'connecting' });
  let heard = 0;
  const watch = new ReplyWatch(client as unknown as Redis, () => {
    heard += 1;
  });
  client.emit('connect');
  const arrive = (bytes: number) => stream.emit('data', Buffer.alloc(bytes));
  return { watch, queue, arrive, broken, heard: () => heard };
}

it('counts only while a reply is owed, and starts again with each reply', () => {
  const { watch, queue } = trial();
  expect([watch.passed(50), watch.owes]).toEqual([0, false]);
  queue.push({});
  expect([watch.passed(50), watch.owes]).toEqual([0, true]);
  expect(watch.passed(50)).toBe(50);
  queue.push({});
  expect(watch.passed(50)).toBe(100);
  queue.shift();
  expect(watch.passed(50)).toBe(0);
  expect(watch.passed(50)).toBe(50);
  queue.shift();
  expect(watch.passed(50)).toBe(0);
});

it('allows a large reply the time that it needs at 64 KiB a second, and no more', () => {
  const steady = trial();
  steady.queue.push({});
  for (let ms = 0; ms < 60_000; ms += 100) {
    steady.arrive(6_600);
    expect(steady.watch.passed(100)).toBeLessThan(200);
  }
  expect(steady.heard()).toBe(600);
  const trickle = trial();
  trickle.queue.push({});
  trickle.watch.passed(100);
  for (let ms = 0; ms < 8_000; ms += 100) {
    trickle.arrive(3_300);
    trickle.watch.passed(100);
  }
  expect(trickle.watch.passed(0)).toBeGreaterThan(3_900);
});

it('cuts the connection, with the reason', () => {
  const { watch, broken } = trial();
  watch.cut('no reply');
  expect(broken).toEqual(['no reply']);
});
