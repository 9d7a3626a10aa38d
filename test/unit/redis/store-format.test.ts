import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { StoreConnection } from '../../../src/redis/connection.js';
import { RedisFirstStart } from '../../../src/redis/first-start.js';
import { claimStoreFormat, NewerStore } from '../../../src/redis/store-format.js';
import { describeWithRedis } from '../../support/describe-with-redis.js';
import { ManualClock } from '../../support/manual-clock.js';
import { MUCH_PATIENCE } from '../../support/patience.js';
import { RedisServer } from '../../support/redis-server.js';
import { until } from '../../support/until.js';

describeWithRedis('the format of a store', () => {
  let server: RedisServer;
  let admin: Redis;
  let connection: StoreConnection;
  beforeAll(async () => {
    server = await RedisServer.start();
    admin = new Redis(server.url);
    connection = new StoreConnection(server.address, MUCH_PATIENCE);
    await until(() =>
      connection.ping().then(
        () => true,
        () => false,
      ),
    );
  });
  afterEach(() => admin.flushall());
  afterAll(async () => {
    connection.close();
    admin.disconnect();
    await server.stop();
  });

  test('is marked by the first replica, forever, and found by all others', async () => {
    await Promise.all([0, 1, 2].map(() => claimStoreFormat(connection)));
    expect(await admin.get('dibs:format')).toBe('1');
    expect(await admin.ttl('dibs:format')).toBe(-1);
    await claimStoreFormat(connection);
  });

  test.each(['2', '10', '1.5', 'one', ''])('%j belongs to another version', async (mark) => {
    await admin.set('dibs:format', mark);
    await expect(claimStoreFormat(connection)).rejects.toThrow(NewerStore);
    await expect(claimStoreFormat(connection)).rejects.toThrow(`'${mark}', and this version knows only 1: `);
    expect(await admin.get('dibs:format')).toBe(mark);
  });

  test.each([
    { mark: '1', answer: 'PONG' },
    { mark: '2', answer: 'the store cannot serve: its format is not known yet' },
  ])('$mark is known before the connection of a replica takes calls', async ({ mark, answer }) => {
    await admin.set('dibs:format', mark);
    const held = new StoreConnection(server.address, { ...MUCH_PATIENCE, awaitsFormat: true });
    const ping = () => held.call((client) => client.ping()).catch((error: Error) => error.message);
    const claim = () =>
      claimStoreFormat(held).then(
        () => true,
        (error) => error instanceof NewerStore,
      );
    expect(await ping()).toBe('the store cannot serve: its format is not known yet');
    await until(claim);
    expect(await ping()).toBe(answer);
    held.close();
  });

  test('is waited for by a claim of the first start, for half a second', async () => {
    await admin.set('dibs:format', '1');
    const clock = new ManualClock();
    const held = new StoreConnection(server.address, { ...MUCH_PATIENCE, clock, awaitsFormat: true });
    await until(() =>
      held
        .callInAnyFormat((client) => client.ping())
        .then(
          () => true,
          () => false,
        ),
    );
    const first = new RedisFirstStart(held, 'a', true);
    const tooEarly = first.claimFirstStart();
    clock.advance(500);
    await expect(tooEarly).rejects.toThrow('the store cannot serve: its format is not known yet');
    const claimed = first.claimFirstStart();
    clock.advance(499);
    await claimStoreFormat(held);
    expect(await claimed).toBe(true);
    held.close();
  });

  test('is read again in case another version has marked it in between', async () => {
    const calls: Promise<unknown>[] = [];
    const between = {
      callInAnyFormat: (send: Parameters<StoreConnection['call']>[0]) => {
        const call = calls.length === 1 ? admin.set('dibs:format', '2') : connection.call(send);
        calls.push(call);
        return call;
      },
    } as unknown as StoreConnection;
    await expect(claimStoreFormat(between)).rejects.toThrow(NewerStore);
  });

  test('is accepted without a mark if the store is too full for one', async () => {
    await admin.config('SET', 'maxmemory', '1');
    try {
      await claimStoreFormat(connection);
      expect(await admin.get('dibs:format')).toBeNull();
    } finally {
      await admin.config('SET', 'maxmemory', '0');
    }
  });
});
