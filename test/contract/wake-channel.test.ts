import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { parseStoreUrl } from '../../src/config/store-url.js';
import type { NamespaceWake } from '../../src/coordination/ports/wake-channel.js';
import { MemoryWakeChannel } from '../../src/memory/wake-channel.js';
import { WAKE_CHANNEL } from '../../src/redis/keys.js';
import { RedisWakeChannel } from '../../src/redis/wake-channel.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { MUCH_PATIENCE, PATIENCE } from '../support/patience.js';
import { RedisServer } from '../support/redis-server.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { until } from '../support/until.js';
import { wakeChannelContract } from './wake-channel.contract.js';

describe('the wake channel in memory', () => {
  wakeChannelContract(async () => {
    const channel = new MemoryWakeChannel();
    return { channel, send: async (wake) => channel.publish(wake), close: async () => {} };
  });
});

describeWithRedis('the wake channel on Redis', () => {
  wakeChannelContract(async () => {
    const server = await RedisServer.start();
    const channel = new RedisWakeChannel(server.address, MUCH_PATIENCE);
    const sender = new Redis(server.url);
    await until(() => channel.live);
    return {
      channel,
      send: async ({ kind, fence, id }) => {
        await sender.publish(WAKE_CHANNEL, `${kind}:${fence}:${id}`);
      },
      close: async () => {
        channel.close();
        sender.disconnect();
        await server.stop();
      },
    };
  });
});

describeWithRedis('the wake channel on a Redis that fails', () => {
  let server: RedisServer;
  /** Keeps its connection however slow a busy machine makes the server. */
  let channel: RedisWakeChannel;
  let events: string[];
  let errors: Error[];

  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server.stop());
  beforeEach(() => {
    events = [];
    errors = [];
    channel = new RedisWakeChannel(server.address, {
      ...MUCH_PATIENCE,
      onError: (error) => errors.push(error),
    });
    tellOf(channel, events);
  });
  afterEach(() => channel.close());

  function tellOf(heardFrom: RedisWakeChannel, told: string[]): void {
    heardFrom.listen({
      wake: ({ kind, id }) => told.push(`${kind} ${id}`),
      namespaceWake() {},
      resubscribed: () => told.push('resubscribed'),
      disconnected: () => told.push('disconnected'),
    });
  }

  async function publish(message: string): Promise<void> {
    const sender = new Redis(server.url);
    await sender.publish(WAKE_CHANNEL, message);
    sender.disconnect();
  }

  test('is not live before the subscription is confirmed, and reports it once', async () => {
    expect(channel.live).toBe(false);
    await until(() => channel.live);
    await publish('published:1:a');
    await until(() => events.includes('published a'));
    expect(events).toEqual(['resubscribed', 'published a']);
  });

  test('is never live if the subscription is refused', async () => {
    const admin = new Redis(server.url);
    await admin.call('ACL', 'SETUSER', 'mute', 'on', '>secret', '~*', '+@all', 'resetchannels');
    const refused: Error[] = [];
    const mute = new RedisWakeChannel(parseStoreUrl(`redis://mute:secret@127.0.0.1:${server.port}`), {
      ...PATIENCE,
      onError: (error) => refused.push(error),
    });
    const heard: string[] = [];
    tellOf(mute, heard);
    await until(() => refused.some(({ message }) => message.includes('NOPERM')));
    await until(() => refused.length >= 2);
    expect([mute.live, heard]).toEqual([false, []]);
    mute.close();
    admin.disconnect();
  });

  test('reports the loss once when the server dies, and the return once', async () => {
    await until(() => channel.live);
    await server.kill();
    await until(() => !channel.live);
    await until(() => errors.length >= 3);
    expect(events).toEqual(['resubscribed', 'disconnected']);
    await server.restart();
    await until(() => channel.live);
    await publish('released:1:b');
    await until(() => events.includes('released b'));
    expect(events).toEqual(['resubscribed', 'disconnected', 'resubscribed', 'released b']);
  });

  test('is lost when the server hangs with open connections, and returns with it', async () => {
    const hasty = new RedisWakeChannel(server.address, PATIENCE);
    const told: string[] = [];
    tellOf(hasty, told);
    await until(() => hasty.live);
    server.hang();
    await until(() => !hasty.live);
    await until(() => told.includes('disconnected'));
    server.resume();
    await until(() => hasty.live);
    await publish('failed:1:c');
    await until(() => told.includes('failed c'));
    expect(told.slice(-4)).toEqual(['resubscribed', 'disconnected', 'resubscribed', 'failed c']);
    hasty.close();
  });

  test('keeps its connection to a late server, is not live until its pong, and misses no wake', async () => {
    await until(() => channel.live);
    const sender = new Redis(server.url);
    await sender.ping();
    server.hang();
    const sent = sender.publish(WAKE_CHANNEL, 'published:1:late');
    await until(() => !channel.live);
    // The pong is late by more than any step on a store should take.
    await new Promise((resolve) => setTimeout(resolve, 700));
    server.resume();
    await sent;
    await until(() => events.includes('published late'));
    await until(() => channel.live);
    expect(events).toEqual(['resubscribed', 'published late']);
    sender.disconnect();
  });

  test('counts a pong from its ping, so a late one does not make it live', async () => {
    const proxy = await TcpProxy.start(server.port);
    proxy.behave({ delayMs: 800 });
    const far = new RedisWakeChannel(parseStoreUrl(proxy.url), MUCH_PATIENCE);
    const told: string[] = [];
    tellOf(far, told);
    await until(() => told.length > 0);
    const before = far.live;
    await publish('published:1:far');
    await until(() => told.includes('published far'));
    expect([before, far.live]).toEqual([false, false]);
    far.close();
    await proxy.stop();
  });

  test('stays live over many pings', async () => {
    await until(() => channel.live);
    // A connection that took too long on a busy machine.
    errors.length = 0;
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(events).toEqual(['resubscribed']);
    expect(errors).toEqual([]);
  });

  test('is not live when its last pong is old, even without an error', async () => {
    await until(() => channel.live);
    // A replica that was stopped and resumes is asked before any of its timers or sockets had a turn.
    const untilMs = performance.now() + 1_600;
    while (performance.now() < untilMs);
    expect(channel.live).toBe(false);
    expect(events).toEqual(['resubscribed']);
    await until(() => channel.live);
    expect(events).toEqual(['resubscribed']);
  });

  test('receives tag wakes of a replica of the previous release, which name no tags', async () => {
    const heard: NamespaceWake[] = [];
    channel.listen({
      wake() {},
      namespaceWake: (wake) => heard.push(wake),
      resubscribed() {},
      disconnected() {},
    });
    await until(() => channel.live);
    await publish('tags:7:c3BhY2U');
    await publish('stamped:8:c3BhY2U:clock:["red"]');
    await publish('tags:8:c3BhY2U');
    await publish('tags:9:c3BhY2U');
    await publish('room:0:c3BhY2U');
    await until(() => heard.some(({ kind }) => kind === 'room'));
    const namespace = 'space';
    const told = { clockId: 'clock', time: 8, tags: ['red'], all: false };
    expect(heard).toEqual([
      { namespace, kind: 'tags', wake: undefined },
      { namespace, kind: 'tags', wake: told },
      { namespace, kind: 'tags', wake: undefined },
      { namespace, kind: 'room' },
    ]);
  });

  test('delivers a value once that was sent twice for replicas of the previous release', async () => {
    await until(() => channel.live);
    await publish('value:published:1:a:value:5:0:0:0:c.1:2:[]new');
    await publish('published:1:a');
    // A replica of the previous release sends only this.
    await publish('published:1:a');
    await publish('value:published:2:a:absent:5:0:0:0:c.1:2:[]');
    await publish('published:3:a');
    await publish('released:4:b');
    await until(() => events.includes('released b'));
    expect(events).toEqual(['resubscribed', ...new Array(4).fill('published a'), 'released b']);
  });

  test('counts and ignores malformed messages', async () => {
    await until(() => channel.live);
    for (const message of [
      '',
      'nonsense',
      'stored:1:a',
      'published:x:a',
      'published:1:',
      'published:1:a:b',
      'stamped:1:c3BhY2U:clock:[1]',
      'stamped:1:c3BhY2U:clock:["a"',
      'value:1:a:value:5:0:0:0:c.1:2:[]new',
      'value:released:1:a:value:5:0:0:0:c.1:2:[]new',
    ]) {
      await publish(message);
    }
    await publish('invalidated:2:d');
    await until(() => events.includes('invalidated d'));
    expect(events).toEqual(['resubscribed', 'invalidated d']);
    expect(channel.malformed).toBe(10);
  });

  test('reports the loss when it is closed, and keeps no connection to the server', async () => {
    await until(() => channel.live);
    channel.close();
    expect(channel.live).toBe(false);
    expect(events).toEqual(['resubscribed', 'disconnected']);
    const admin = new Redis(server.url);
    await until(async () => !String(await admin.client('LIST')).includes('dibs-wake'));
    admin.disconnect();
  });
});
