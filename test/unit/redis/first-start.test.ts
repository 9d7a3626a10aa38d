import { afterAll, beforeAll, expect, test } from 'vitest';
import { StoreConnection } from '../../../src/redis/connection.js';
import { RedisFirstStart } from '../../../src/redis/first-start.js';
import { describeWithRedis } from '../../support/describe-with-redis.js';
import { MUCH_PATIENCE } from '../../support/patience.js';
import { RedisServer } from '../../support/redis-server.js';
import { until } from '../../support/until.js';

describeWithRedis('the claim of a first start', () => {
  let server: RedisServer;
  let connections: StoreConnection[];
  beforeAll(async () => {
    server = await RedisServer.start();
    connections = [0, 1].map(() => new StoreConnection(server.address, MUCH_PATIENCE));
    for (const connection of connections) {
      await until(() =>
        connection.ping().then(
          () => true,
          () => false,
        ),
      );
    }
  });
  afterAll(async () => {
    for (const connection of connections) connection.close();
    await server.stop();
  });

  test('is granted once, to one caller', async () => {
    const claims = connections.map((connection) => new RedisFirstStart(connection, 'a group', true));
    const given = await Promise.all([...claims, ...claims].map((claim) => claim.claimFirstStart()));
    expect(given.filter((first) => first)).toHaveLength(1);
    expect(await claims[0]?.claimFirstStart()).toBe(false);
  });

  test('is separate for each group, and is remembered if a fleet changes between one group and several', async () => {
    const [connection] = connections as [StoreConnection];
    await server.command('FLUSHALL');
    const claim = (group: string, isOnly: boolean) =>
      new RedisFirstStart(connection, group, isOnly).claimFirstStart();
    // A fleet with one group gets another.
    expect(await claim('one', true)).toBe(true);
    expect(await claim('one', false)).toBe(false);
    expect(await claim('other', false)).toBe(true);
    // A fleet with two groups continues with one of them, or with new nodes.
    await server.command('FLUSHALL');
    expect(await claim('one', false)).toBe(true);
    expect(await claim('other', false)).toBe(true);
    expect(await claim('one', true)).toBe(false);
    expect(await claim('new', true)).toBe(false);
  });

  test('rejects if the store is not there', async () => {
    await server.kill();
    await expect(new RedisFirstStart(connections[0]!, 'a group', true).claimFirstStart()).rejects.toThrow();
  });
});
