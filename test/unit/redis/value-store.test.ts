import { describe, expect, it } from 'vitest';
import { keyOf } from '../../../src/coordination/words/key.js';
import type { StoreConnection } from '../../../src/redis/connection.js';
import { RECORD_FIELDS, type RecordReply } from '../../../src/redis/record-fields.js';
import { RedisValueStore } from '../../../src/redis/value-store.js';

const VALUE = Buffer.alloc(1_048_576);

/** A connection whose replies come one by one, when the test says so. */
class HeldConnection {
  readonly #owed: ((reply: RecordReply) => void)[] = [];
  most = 0;

  get underWay(): number {
    return this.#owed.length;
  }

  call(): Promise<RecordReply> {
    return new Promise((resolve) => {
      this.#owed.push(resolve);
      this.most = Math.max(this.most, this.underWay);
    });
  }

  async reply(value: Buffer | number): Promise<void> {
    const fields = RECORD_FIELDS.map((name) => (name === 'servable_until' ? Buffer.from('2000') : null));
    this.#owed.shift()?.([...fields, 1_000, value]);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const idOf = (at: number) => keyOf('a namespace', `key ${at}`).id;

describe('a burst of reads', () => {
  it('of large values goes through a window of bytes, and says when each is sent', async () => {
    const connection = new HeldConnection();
    const store = new RedisValueStore(connection as unknown as StoreConnection);
    const sent: number[] = [];
    const reads = Array.from({ length: 50 }, (_, at) => store.read(idOf(at), { sent: () => sent.push(at) }));
    expect(connection.underWay).toBe(4);
    expect(sent).toEqual([0, 1, 2, 3]);
    while (connection.underWay > 0) await connection.reply(VALUE);
    await Promise.all(reads);
    expect(connection.most).toBe(4);
    expect(sent).toHaveLength(50);
  });

  it('of small values is sent at once, as soon as one has shown that they are small', async () => {
    const connection = new HeldConnection();
    const store = new RedisValueStore(connection as unknown as StoreConnection);
    const reads = Array.from({ length: 1_000 }, (_, at) => store.read(idOf(at)));
    expect(connection.underWay).toBe(4);
    await connection.reply(Buffer.alloc(100));
    while (connection.underWay > 0) await connection.reply(Buffer.alloc(100));
    await Promise.all(reads);
    expect(connection.most).toBe(999);
  });

  it('of values that the replica has counts as one of small replies', async () => {
    const connection = new HeldConnection();
    const store = new RedisValueStore(connection as unknown as StoreConnection);
    const known = { fence: 5, payload: { kind: 'value', bytes: VALUE } as const };
    const first = store.read(idOf(0), { known });
    await connection.reply(1);
    await first;
    const reads = Array.from({ length: 100 }, (_, at) => store.read(idOf(at), { known }));
    expect(connection.underWay).toBe(100);
    while (connection.underWay > 0) await connection.reply(1);
    await Promise.all(reads);
  });
});

describe('a burst of publishes', () => {
  it('of large values goes through a window of bytes', () => {
    const connection = new HeldConnection();
    const store = new RedisValueStore(connection as unknown as StoreConnection);
    const terms = { fence: 1, ttlMs: 1, staleMs: 0, tags: [], keepMs: 1 };
    for (const bytes of [VALUE.subarray(1), VALUE, VALUE, VALUE, VALUE]) {
      void store.publish(idOf(0), { ...terms, nonce: 'n', payload: { kind: 'value', bytes } });
    }
    expect(connection.underWay).toBe(4);
  });
});
