import { expect, it } from 'vitest';
import { parseStoreUrl } from '../../../src/config/store-url.js';
import { StoreConnection } from '../../../src/redis/connection.js';
import { describeWithRedis } from '../../support/describe-with-redis.js';
import { FakeSentinel } from '../../support/fake-sentinel.js';
import { MUCH_PATIENCE } from '../../support/patience.js';
import { RedisServer } from '../../support/redis-server.js';
import { until } from '../../support/until.js';

describeWithRedis('a store behind sentinels', () => {
  it('is found again after a failover that is announced during a reconnect', async () => {
    const server = await RedisServer.start();
    const sentinel = await FakeSentinel.start(server.port);
    const connection = new StoreConnection(parseStoreUrl(sentinel.url), MUCH_PATIENCE);
    const answers = () =>
      connection.ping().then(
        () => true,
        () => false,
      );
    await until(answers);
    await until(() => sentinel.subscribers > 0);
    // The next connection asks for the master, and learns of the failover before it has the answer.
    sentinel.delayMs = 200;
    const asked = sentinel.asked;
    await server.command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await until(() => sentinel.asked > asked);
    sentinel.tellFailover();
    sentinel.delayMs = 0;
    await until(async () => !(await answers()));
    await until(answers);
    expect(connection.closed).toBe(false);
    connection.close();
    await sentinel.stop();
    await server.stop();
  });
});
