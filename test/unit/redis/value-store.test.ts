import { describe, expect, it } from 'vitest';
import { keyOf } from '../../../src/coordination/words/key.js';
import type { StoreConnection } from '../../../src/redis/connection.js';
import { RECORD_FIELDS, type RecordReply } from '../../../src/redis/record-fields.js';
import { RedisValueStore } from '../../../src/redis/value-store.js';

const VALUE = Buffer.alloc(1_048_576);

interface HeldCall {
  /** For each step: a larger value is not transferred. NaN means no limit. */
  readonly bytesMax: readonly number[];
  readonly resolve: (replies: readonly RecordReply[]) => void;
}

/** A connection for reads whose replies come call by call, when the test wants them. */
class HeldConnection {
  readonly #owed: HeldCall[] = [];
  /** How many steps each call had, for all calls sent. */
  readonly calls: number[] = [];
  /** The greatest number of values under way at a time that nothing else bounds. */
  most = 0;
  moved = 0;

  get underWay(): number {
    return this.#owed.length;
  }

  call(send: (client: unknown) => Promise<unknown>): Promise<unknown> {
    const callBuffer = (_command: string, [, count, ...rest]: [string, number, ...unknown[]]) =>
      new Promise((resolve) => {
        const args = rest.slice(count);
        // The arguments of value-read: known_fence, bytes_max.
        const bytesMax = Array.from({ length: count }, (_, at) => Number(args[at * 2 + 1] || NaN));
        this.#owed.push({ bytesMax, resolve });
        this.calls.push(count);
        const alone = this.#owed.filter((call) => Number.isNaN(call.bytesMax[0]));
        this.most = Math.max(this.most, alone.length);
      });
    return send({ callBuffer });
  }

  /** Replies as value-read does, for a store with this value under each key. */
  async reply(value: Buffer | number): Promise<void> {
    const fields = RECORD_FIELDS.map((name) => (name === 'servable_until' ? Buffer.from('2000') : null));
    const bytes = typeof value === 'number' ? 0 : value.length;
    let readBytes = 0;
    const call = this.#owed.shift();
    const valueFor = (max: number) => {
      if (typeof value === 'number') return value;
      if (readBytes > 65_536) return 0;
      readBytes += bytes;
      if (bytes > max) return bytes;
      this.moved += 1;
      return value;
    };
    call?.resolve(call.bytesMax.map((max) => [...fields, 1_000, valueFor(max)]));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));
const idOf = (at: number) => keyOf('a namespace', `key ${at}`).id;

function storeOn(connection: HeldConnection): RedisValueStore {
  return new RedisValueStore(connection as unknown as StoreConnection);
}

describe('a burst of reads', () => {
  it('of large values transfers each once through a window of bytes, and reports once when each is sent', async () => {
    const connection = new HeldConnection();
    const store = storeOn(connection);
    const sent: number[] = [];
    const reads = Array.from({ length: 50 }, (_, at) => store.read(idOf(at), { sent: () => sent.push(at) }));
    await turn();
    // All at once, as for small values. The first reply shows that they are large.
    expect(connection.calls).toEqual([50]);
    expect(sent).toHaveLength(50);
    while (connection.underWay > 0) await connection.reply(VALUE);
    await Promise.all(reads);
    // With their fields.
    expect(connection.most).toBe(3);
    expect(connection.calls).toEqual([50, ...Array.from({ length: 50 }, () => 1)]);
    expect(connection.moved).toBe(50);
    expect(sent).toEqual(Array.from({ length: 50 }, (_, at) => at));
  });

  it('of large values is recognized by its namespace, and requests each value only once', async () => {
    const connection = new HeldConnection();
    const store = storeOn(connection);
    const first = store.read(idOf(0));
    await turn();
    while (connection.underWay > 0) await connection.reply(VALUE);
    await first;
    const reads = Array.from({ length: 50 }, (_, at) => store.read(idOf(at)));
    await turn();
    // With their fields.
    expect(connection.underWay).toBe(3);
    while (connection.underWay > 0) await connection.reply(VALUE);
    await Promise.all(reads);
    expect(connection.calls).toHaveLength(2 + 50);
  });

  it('of large values has few under way in a namespace of unknown sizes', async () => {
    const connection = new HeldConnection();
    const store = storeOn(connection);
    const others = (at: number) => keyOf(`namespace ${at % 2}`, `key ${at}`).id;
    const reads = Array.from({ length: 40 }, (_, at) => store.read(others(at)));
    await turn();
    while (connection.underWay > 0) await connection.reply(VALUE);
    await Promise.all(reads);
    expect(connection.most).toBeLessThanOrEqual(4);
    expect(connection.moved).toBe(40);
  });

  it('of small values is sent at once, in few calls', async () => {
    const connection = new HeldConnection();
    const store = storeOn(connection);
    const burst = (count: number) => Array.from({ length: count }, (_, at) => store.read(idOf(at)));
    const first = burst(1_000);
    await turn();
    expect(connection.underWay).toBe(8);
    while (connection.underWay > 0) await connection.reply(Buffer.alloc(100));
    await Promise.all(first);
    expect(connection.calls).toHaveLength(8);
  });

  it('of values of 4 KiB uses calls that return all their values', async () => {
    const connection = new HeldConnection();
    const store = storeOn(connection);
    const first = store.read(idOf(0));
    await turn();
    await connection.reply(Buffer.alloc(4_096));
    await first;
    const reads = Array.from({ length: 100 }, (_, at) => store.read(idOf(at)));
    await turn();
    while (connection.underWay > 0) await connection.reply(Buffer.alloc(4_096));
    await Promise.all(reads);
    expect(connection.calls.reduce((sum, steps) => sum + steps, 0)).toBe(101);
  });

  it.each([
    [16_384, 1],
    [16_385, 2],
  ])('of one value of %i bytes takes %i calls', async (bytes, calls) => {
    const connection = new HeldConnection();
    const read = storeOn(connection).read(idOf(0));
    await turn();
    while (connection.underWay > 0) await connection.reply(Buffer.alloc(bytes));
    expect((await read).value?.payload).toMatchObject({ kind: 'value' });
    expect(connection.calls).toHaveLength(calls);
  });

  it('of values that the replica has counts as small replies', async () => {
    const connection = new HeldConnection();
    const store = storeOn(connection);
    const known = { fence: 5, payload: { kind: 'value', bytes: VALUE } as const };
    const large = store.read(idOf(0));
    await turn();
    while (connection.underWay > 0) await connection.reply(VALUE);
    await large;
    const reads = Array.from({ length: 100 }, (_, at) => store.read(idOf(at), { known }));
    await turn();
    expect(connection.underWay).toBe(1);
    await connection.reply(1);
    await Promise.all(reads);
  });
});

describe('a burst of publishes', () => {
  it('of large values goes through a window of bytes, each in a call of its own', async () => {
    const connection = new HeldConnection();
    const store = storeOn(connection);
    const terms = { fence: 1, ttlMs: 1, staleMs: 0, tags: [], keepMs: 1 };
    for (const bytes of [VALUE.subarray(1), VALUE, VALUE, VALUE, VALUE]) {
      void store.publish(idOf(0), { ...terms, nonce: 'n', payload: { kind: 'value', bytes } });
    }
    await turn();
    expect(connection.calls).toEqual([1, 1, 1, 1]);
  });
});
