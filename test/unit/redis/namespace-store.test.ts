import { describe, expect, it } from 'vitest';
import { RedisNamespaceStore } from '../../../src/redis/namespace-store.js';
import { parseNamespaceWake } from '../../../src/redis/wake-channel.js';

/** A store over a made-up reply. */
function over(reply: unknown) {
  const sent: unknown[][] = [];
  const client = {
    callBuffer: async (_command: string, args: unknown[]) => {
      sent.push(args);
      // The replies of one step.
      return [reply];
    },
  };
  const connection = { call: (send: (client: never) => Promise<unknown>) => send(client as never) };
  const chance = { fraction: () => 0, nonce: () => 'fresh' };
  return { sent, store: new RedisNamespaceStore(connection as never, chance) };
}
const text = (value: string) => Buffer.from(value);

describe('a namespace on Redis', () => {
  it('is one hash, and no name that a user chooses can break out of its key', async () => {
    const { store, sent } = over([text('id'), text('3'), null, null, 1_000, 50, 0, text('')]);
    await store.read('a.b', []);
    expect(sent[0]?.slice(1)).toEqual([1, 'dibs:{YS5i}', '[]', '']);
  });

  it('prolongs nothing if the clock was set back', async () => {
    const { store } = over([
      text('id'),
      text('3'),
      text('4000'),
      text('500'),
      1_000,
      50,
      2,
      text('3:500,4:9000'),
    ]);
    expect(await store.read('n', [])).toEqual({
      clock: 'id.3',
      rebuild: { meanMs: 4, deviationMs: 0.5 },
      keptForMs: 50,
      stamps: [
        {
          deletedAt: 2,
          marks: [
            { at: 3, agoMs: 0.5 },
            { at: 4, agoMs: 0 },
          ],
        },
      ],
    });
  });
});

describe('the wake of a namespace', () => {
  it('names the namespace and what happened', () => {
    expect(parseNamespaceWake('tags:17:YS5i')).toEqual({ kind: 'tags', namespace: 'a.b' });
    expect(parseNamespaceWake('room:0:YS5i')).toEqual({ kind: 'room', namespace: 'a.b' });
  });

  it.each(['tags:x:YS5i', 'published:1:YS5i', 'tags:1:', 'tags:1', ''])('is not %j', (message) => {
    expect(parseNamespaceWake(message)).toBeUndefined();
  });
});
