import { describe, expect, it } from 'vitest';
import type { NamespaceStore } from '../../src/coordination/ports/namespace-store.js';
import { MemoryNamespaceStore } from '../../src/memory/namespace-store.js';
import { MemoryWakeChannel } from '../../src/memory/wake-channel.js';
import { SystemChance } from '../../src/system-chance.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { ManualClock } from '../support/manual-clock.js';
import { startRedisStore } from '../support/redis-store.js';
import { namespaceStoreContract } from './namespace-store.contract.js';

function inMemory(stampsMax?: number) {
  const clock = new ManualClock();
  const channel = new MemoryWakeChannel();
  return {
    namespaces: new MemoryNamespaceStore({ clock, chance: new SystemChance(), wakes: channel, stampsMax }),
    channel,
    pass: async (ms: number) => clock.advance(ms),
    close: async () => {},
  };
}

/** Longer than thousands of steps take on a busy machine. */
const LONG_MS = 3_600_000;
const STAMPS = 1_000;
/** So many that the fields of a tag count for more than those of the floor. */
const MANY = 20_000;
const deletion = (...tags: string[]) => ({ tags, all: false, mode: 'delete' }) as const;

/** Stamps more tags than the store keeps, and checks what it forgets. */
async function expectForgetting({ namespaces }: { readonly namespaces: NamespaceStore }) {
  const { id, at } = await namespaces.begin('many', LONG_MS);
  await namespaces.invalidate('many', { tags: ['marked'], all: false, mode: 'mark_stale' });
  await namespaces.invalidate('many', deletion('renewed'));
  for (let tag = 0; tag < 2 * STAMPS; tag += 1) {
    if (tag === STAMPS) await namespaces.invalidate('many', deletion('renewed'));
    await namespaces.invalidate('many', deletion(`tag ${tag}`));
  }
  const stampsOf = async (tags: readonly string[]) => {
    const { clock, stamps } = await namespaces.read('many', tags);
    expect(clock).toBe(`${id}.${at + 2 * STAMPS + 3}`);
    return stamps.map(({ deletedAt }) => deletedAt);
  };
  // A forgotten tag counts as deleted at its stamp or later, whatever the stamp was.
  const [all, marked, renewed, first, last] = await stampsOf([
    'marked',
    'renewed',
    'tag 0',
    `tag ${2 * STAMPS - 1}`,
  ]);
  expect(all).toBe(0);
  expect(marked).toBeGreaterThanOrEqual(at + 1);
  expect(renewed).toBe(at + 3 + STAMPS);
  expect(first).toBeGreaterThanOrEqual(at + 3);
  expect(last).toBe(at + 3 + 2 * STAMPS);
  const names = Array.from({ length: 2 * STAMPS }, (_, tag) => `tag ${tag}`);
  const [, ...stamped] = await stampsOf(names);
  for (const [tag, deletedAt] of stamped.entries()) expect(deletedAt).toBeGreaterThan(at + 2 + tag);
  // Tags that were never invalidated do not. One floor for all tags would drop every one.
  const [, ...others] = await stampsOf(Array.from({ length: 200 }, (_, other) => `page ${other}`));
  expect(others.filter((deletedAt) => deletedAt > 0).length).toBeLessThan(20);
  // A mark on a forgotten tag does not revive it.
  await namespaces.invalidate('many', { tags: ['tag 0'], all: false, mode: 'mark_stale' });
  const { stamps } = await namespaces.read('many', ['tag 0']);
  expect(stamps[1]?.deletedAt).toBeGreaterThanOrEqual(at + 3);
  // A namespace that is deleted as a whole needs no floor.
  const { at: wholeAt } = await namespaces.invalidate('many', { tags: [], all: true, mode: 'delete' });
  const { stamps: none } = await namespaces.read('many', ['tag 0', 'page 0']);
  expect(none.map(({ deletedAt }) => deletedAt)).toEqual([wholeAt, 0, 0]);
}

/** As many tags as the store keeps, each deleted once and marked stale twice. */
async function expectKeptTogether({ namespaces }: { readonly namespaces: NamespaceStore }, tags: number) {
  const names = Array.from({ length: tags }, (_, tag) => `tag ${tag}`);
  await namespaces.begin('space', LONG_MS);
  for (const mode of ['delete', 'mark_stale', 'mark_stale'] as const) {
    for (let at = 0; at < tags; at += 1_000) {
      await namespaces.invalidate('space', { tags: names.slice(at, at + 1_000), all: false, mode });
    }
  }
  const { stamps } = await namespaces.read('space', ['tag 0', `tag ${tags - 1}`, 'another tag']);
  const [all, first, last, other] = stamps;
  expect(all?.deletedAt).toBe(0);
  expect([first?.marks.length, last?.marks.length]).toEqual([2, 2]);
  expect(other?.deletedAt).toBe(0);
}

describe('namespaces in memory', () => {
  namespaceStoreContract(async () => inMemory());
  it('forget the oldest stamps beyond their bound, and revive no value', () =>
    expectForgetting(inMemory(STAMPS)));
  it('keep as many tags as their bound, deleted and marked', () => expectKeptTogether(inMemory(MANY), MANY));
});

describeWithRedis('namespaces on Redis', () => {
  namespaceStoreContract(startRedisStore);
  it('forget the oldest stamps beyond their bound, and revive no value', async () => {
    const under = await startRedisStore({ stampsMax: STAMPS });
    await expectForgetting(under);
    await under.close();
  });
  it('keep as many tags as their bound, deleted and marked', async () => {
    const under = await startRedisStore({ stampsMax: MANY });
    await expectKeptTogether(under, MANY);
    await under.close();
  });
});
