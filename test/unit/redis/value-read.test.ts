import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { STEP_BYTES_MAX } from '../../../src/redis/gathered-steps.js';
import { recordKey } from '../../../src/redis/keys.js';
import { readScript } from '../../../src/redis/value-scripts.js';
import { describeWithRedis } from '../../support/describe-with-redis.js';
import { RedisServer } from '../../support/redis-server.js';

describeWithRedis('one call of value-read', () => {
  let server: RedisServer;
  let client: Redis;
  beforeAll(async () => {
    server = await RedisServer.start();
    client = new Redis(server.url);
  });
  afterAll(async () => {
    client.disconnect();
    await server.stop();
  });

  /**
   * Reads values of these sizes in one call. Returns for each step the number of bytes, or the reported size as text.
   */
  async function brought(sizes: readonly number[], bytesMax: number | ''): Promise<unknown[]> {
    await client.flushall();
    const keys = sizes.map((_, at) => recordKey(`k${at}`));
    for (const [at, key] of keys.entries()) {
      const value = Buffer.alloc(sizes[at] ?? 0);
      await client.hset(key, { fence: 1, value_fence: 1, published_at: 1, servable_until: 9e15, value });
    }
    const replies = await readScript.runAll(
      client,
      keys,
      keys.flatMap(() => [0, bytesMax]),
    );
    const last = (replies as unknown[][]).map((reply) => reply.at(-1));
    return last.map((value) => (Buffer.isBuffer(value) ? value.length : `${value}`));
  }

  test('transfers no value larger than asked for, and reports its size', async () => {
    const sizes = [10, STEP_BYTES_MAX, STEP_BYTES_MAX + 1, 20];
    expect(await brought(sizes, STEP_BYTES_MAX)).toEqual([10, STEP_BYTES_MAX, `${STEP_BYTES_MAX + 1}`, 20]);
    expect(await brought([STEP_BYTES_MAX + 1], '')).toEqual([STEP_BYTES_MAX + 1]);
  });

  test('reads no further value after the first 64 KiB', async () => {
    const full = [STEP_BYTES_MAX, STEP_BYTES_MAX, STEP_BYTES_MAX, STEP_BYTES_MAX];
    expect(await brought([...full, 1, 1], STEP_BYTES_MAX)).toEqual([...full, 1, '0']);
    expect(await brought([65_537, 1, 1], STEP_BYTES_MAX)).toEqual(['65537', '0', '0']);
  });
});
