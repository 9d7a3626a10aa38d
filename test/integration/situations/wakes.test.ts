import { afterAll, beforeAll, expect, it } from 'vitest';
import { LOG } from '../../../src/telemetry/log-texts.js';
import { describeWithRedis } from '../../support/describe-with-redis.js';
import { linesOf } from '../../support/log-lines.js';
import { RedisServer } from '../../support/redis-server.js';
import { Replica } from '../../support/replica.js';

describeWithRedis('a value store that serves, and sends no wakes', () => {
  let servers: RedisServer[] = [];
  beforeAll(async () => {
    servers = await Promise.all(Array.from({ length: 4 }, () => RedisServer.start()));
  });
  afterAll(async () => {
    await Promise.all(servers.map((server) => server.stop()));
  });

  it('the user of the store may not subscribe', async () => {
    const [store, ...nodes] = servers as [RedisServer, ...RedisServer[]];
    await store.command('ACL', 'SETUSER', 'deaf', 'on', '>p', '~*', '&*', '+@all', '-subscribe');
    const replica = await Replica.start({
      DIBS_LOG_LEVEL: 'info',
      DIBS_QUORUM_NODES: nodes.map(({ url }) => url).join(','),
      DIBS_STORE_URL: `redis://deaf:p@127.0.0.1:${store.port}`,
    });
    const told = (line: string) => linesOf(replica).filter(({ msg }) => msg === line);
    await expect.poll(() => told(LOG.wakesUnheard), { timeout: 120_000 }).not.toEqual([]);
    const why = /the Redis user lacks rights; see deploy\/operations\/redis-acl.md/;
    expect(told(LOG.wakesUnheard)[0]).toMatchObject({ level: 'warn', why: expect.stringMatching(why) });
    expect(told(LOG.storeUnreachable)).toEqual([]);
    await store.command('ACL', 'SETUSER', 'deaf', '+subscribe');
    await expect.poll(() => told(LOG.wakesHeard), { timeout: 120_000 }).toHaveLength(1);
    await replica.kill();
  });
});
