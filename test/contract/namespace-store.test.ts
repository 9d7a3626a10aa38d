import { describe, expect, it } from 'vitest';
import { type NamespaceStore, STAMPS_MAX } from '../../src/coordination/ports/namespace-store.js';
import { MemoryNamespaceStore } from '../../src/memory/namespace-store.js';
import { MemoryWakeChannel } from '../../src/memory/wake-channel.js';
import { SystemChance } from '../../src/system-chance.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { ManualClock } from '../support/manual-clock.js';
import { startRedisStore } from '../support/redis-store.js';
import { namespaceStoreContract } from './namespace-store.contract.js';

function inMemory() {
  const clock = new ManualClock();
  const channel = new MemoryWakeChannel();
  return {
    namespaces: new MemoryNamespaceStore({ clock, chance: new SystemChance(), wakes: channel }),
    channel,
    pass: async (ms: number) => clock.advance(ms),
    close: async () => {},
  };
}

/** Stamps more tags than are remembered. */
async function expectForgetting({ namespaces }: { readonly namespaces: NamespaceStore }) {
  const read = () => namespaces.read('many', ['tag 0']);
  const before = await read();
  const chunk = 1_000;
  for (let at = 0; at <= STAMPS_MAX; at += chunk) {
    const tags = Array.from({ length: chunk }, (_, index) => `tag ${at + index}`);
    await namespaces.invalidate('many', { tags, all: false, mode: 'delete' });
  }
  const { stamps, clock } = await read();
  expect(clock.split('.')[0]).toBe(before.clock.split('.')[0]);
  const [all, tag] = stamps;
  // Nothing that was invalidated comes back: the whole namespace counts as deleted since the stamps were forgotten.
  expect(all?.deletedAt).toBeGreaterThan(STAMPS_MAX / chunk);
  expect(tag?.deletedAt).toBe(0);
}

describe('namespaces in memory', () => {
  namespaceStoreContract(async () => inMemory());
  it('forget stamps beyond their bound, and revive nothing by it', () => expectForgetting(inMemory()));
});

describeWithRedis('namespaces on Redis', () => {
  namespaceStoreContract(startRedisStore);
  it('forget stamps beyond their bound, and revive nothing by it', async () => {
    const under = await startRedisStore();
    await expectForgetting(under);
    await under.close();
  }, 60_000);
});
