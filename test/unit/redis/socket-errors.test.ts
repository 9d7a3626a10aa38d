import { expect, it } from 'vitest';
import { singleClient } from '../../../src/redis/client.js';
import { describeWithRedis } from '../../support/describe-with-redis.js';
import { RedisServer } from '../../support/redis-server.js';

describeWithRedis('a socket to Redis', () => {
  it('may report two errors, as with TLS when a handshake is abandoned', async () => {
    const server = await RedisServer.start();
    const client = singleClient(server.address, 0, 'test');
    const heard: string[] = [];
    client.on('error', ({ message }: Error) => heard.push(message));
    await client.connect();
    // Without a listener this throws, and ends the process if nothing catches it.
    for (const message of ['certificate refused', 'alert of the server']) {
      client.stream.emit('error', new Error(message));
    }
    expect(heard).toEqual(['certificate refused']);
    client.disconnect();
    await server.stop();
  });
});
