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

  test('is given once, to one caller', async () => {
    const claims = connections.map((connection) => new RedisFirstStart(connection));
    const given = await Promise.all([...claims, ...claims].map((claim) => claim.claimFirstStart()));
    expect(given.filter((first) => first)).toHaveLength(1);
    expect(await claims[0]?.claimFirstStart()).toBe(false);
  });

  test('rejects when the store is not there', async () => {
    await server.kill();
    await expect(new RedisFirstStart(connections[0]!).claimFirstStart()).rejects.toThrow();
  });
});
