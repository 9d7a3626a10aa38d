import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { WAKE_VALUE_BYTES_MAX } from '../../src/coordination/ports/wake-channel.js';
import { keyOf } from '../../src/coordination/words/key.js';
import { WAKE_CHANNEL } from '../../src/redis/keys.js';
import { mainThreadMsOf } from '../support/cpu-of.js';
import { Fleet } from '../support/fleet.js';
import { RedisServer } from '../support/redis-server.js';
import { until } from '../support/until.js';
import type { AnyRow } from './bench.js';

/** As many replicas as a large fleet has. */
const SUBSCRIBERS = 100;
const PUBLISHES = 20_000;
const IN_FLIGHT = 100;
const KEY = keyOf('default', 'a key of a few letters').id;
const WAKE = `published:1800000000000001:${KEY}`;
const VALUE = 'x'.repeat(WAKE_VALUE_BYTES_MAX);
const STORED = `value:${WAKE}:value:60000:0:50000:50000:25000:clock.1:2:[]${VALUE}`;

/** The cost of a publish for each replica that does not use its wake, and for the store per subscriber. */
export async function fanOut(): Promise<AnyRow[]> {
  return [...(await atReplica()), ...(await atStore())];
}

async function atReplica(): Promise<AnyRow[]> {
  const fleet = await Fleet.start({ replicas: 1 });
  const [replica] = fleet.replicas;
  const redis = new Redis(fleet.store.url);
  try {
    const us = (messages: readonly string[]) => publishing(redis, messages, 1, replica?.pid ?? 0);
    // The replica is ready before it has subscribed.
    await until(async () => (await redis.publish(WAKE_CHANNEL, WAKE)) === 1);
    // Code is slow until it has been compiled.
    await us([STORED, WAKE]);
    const name = 'CPU of a replica that has no use for a publish, by its wake';
    return [
      { kind: 'bound', name: `${name} alone`, value: await us([WAKE]), unit: 'µs' },
      { kind: 'bound', name: `${name} and the largest value`, value: await us([STORED, WAKE]), unit: 'µs' },
    ];
  } finally {
    redis.disconnect();
    await fleet.stop();
  }
}

async function atStore(): Promise<AnyRow[]> {
  const server = await RedisServer.start();
  const redis = new Redis(server.url);
  const sockets: Socket[] = [];
  const us = (messages: readonly string[]) => publishing(redis, messages, sockets.length, server.pid);
  try {
    const ways = [
      ['alone', [WAKE]],
      ['and the largest value', [STORED, WAKE]],
    ] as const;
    const alone: number[] = [];
    await us([WAKE]);
    for (const [, messages] of ways) alone.push(await us(messages));
    for (let at = 0; at < SUBSCRIBERS; at += 1) sockets.push(await subscribed(server.port));
    await us([WAKE]);
    const rows: AnyRow[] = [];
    for (const [at, [what, messages]] of ways.entries()) {
      const value = ((await us(messages)) - (alone[at] ?? 0)) / SUBSCRIBERS;
      rows.push({
        kind: 'bound',
        name: `CPU of the store for each replica that is told, by a wake ${what}`,
        value,
        unit: 'µs',
      });
    }
    return rows;
  } finally {
    for (const socket of sockets) socket.destroy();
    redis.disconnect();
    await server.stop();
  }
}

/** The CPU time of `pid` for each publish, in microseconds, while many are under way. */
async function publishing(
  redis: Redis,
  messages: readonly string[],
  subscribers: number,
  pid: number,
): Promise<number> {
  const before = mainThreadMsOf(pid);
  for (let sent = 0; sent < PUBLISHES; sent += IN_FLIGHT) {
    const batch = Array.from({ length: IN_FLIGHT }, () =>
      messages.map((each) => redis.publish(WAKE_CHANNEL, each)),
    );
    const heardBy = await Promise.all(batch.flat());
    if (heardBy.some((count) => count !== subscribers)) throw new Error('a subscriber was lost');
  }
  // On a busy machine, it may lag far behind.
  for (let spentMs = before; ; ) {
    await sleep(100);
    const nowMs = mainThreadMsOf(pid);
    if (nowMs - spentMs < 1) return ((nowMs - before) * 1_000) / PUBLISHES;
    spentMs = nowMs;
  }
}

/** A subscriber that discards what it receives. */
function subscribed(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`SUBSCRIBE ${WAKE_CHANNEL}\r\n`));
    socket.once('error', reject);
    socket.once('data', () => resolve(socket.on('data', () => {})));
  });
}
