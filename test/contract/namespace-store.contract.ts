import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  BEGUN_KEEP_MS,
  MARKS_MAX,
  type NamespaceStore,
} from '../../src/coordination/ports/namespace-store.js';
import type { NamespaceWake, WakeChannel } from '../../src/coordination/ports/wake-channel.js';
import { inRounds } from '../support/rounds.js';
import { until } from '../support/until.js';

export interface NamespacesUnderTest {
  readonly namespaces: NamespaceStore;
  readonly channel: WakeChannel;
  /** Lets time pass on the store's clock. */
  pass(ms: number): Promise<void>;
  close(): Promise<void>;
}

const LONG_MS = 60_000;
/** How long something lasts that must not end before the next step. */
const ROUNDS_MS = [60, 600, 6_000];
let spaces = 0;

/** What every namespace store promises. */
export function namespaceStoreContract(start: () => Promise<NamespacesUnderTest>): void {
  let under: NamespacesUnderTest;
  let store: NamespaceStore;
  let name: string;
  const wakes: NamespaceWake[] = [];
  beforeAll(async () => {
    under = await start();
    store = under.namespaces;
    under.channel.listen({
      wake() {},
      namespaceWake: (wake) => wakes.push(wake),
      resubscribed() {},
      disconnected() {},
    });
  });
  afterAll(() => under.close());
  const another = () => {
    spaces += 1;
    name = `space-${spaces}`;
  };
  beforeEach(another);

  const clock = () => store.begin(name, LONG_MS);
  const heard = (kind: NamespaceWake['kind']) =>
    until(() => wakes.some((wake) => wake.namespace === name && wake.kind === kind));

  describe('the tag clock', () => {
    it('begins once, with another id in each namespace', async () => {
      const { id, at } = await store.begin(name, LONG_MS);
      const begun = await store.read(name, ['t']);
      const never = { deletedAt: 0, marks: [] };
      expect(begun).toMatchObject({ clock: `${id}.${at}`, stamps: [never, never] });
      expect(await store.begin(name, LONG_MS)).toEqual({ id, at });
      expect((await store.begin(`${name}-other`, LONG_MS)).id).not.toBe(id);
    });

    it('is not begun by a read', async () => {
      const nothing = { clock: '', keptForMs: 0, stamps: [] };
      expect(await store.read(name, ['t'], 100)).toEqual(nothing);
      expect(await store.read(name, [])).toEqual(nothing);
    });

    it('lasts for the longest time requested, and invalidations do not prolong it', () =>
      inRounds(ROUNDS_MS, async (ms) => {
        another();
        const { id } = await store.begin(name, ms);
        await store.begin(name, ms / 6);
        expect((await store.read(name, [])).keptForMs).toBeGreaterThan(ms / 6);
        await under.pass(ms / 2);
        await store.begin(name, ms);
        await store.invalidate(name, { tags: ['t'], all: false, mode: 'delete' });
        await store.invalidate(name, { tags: [], all: true, mode: 'delete' });
        const { keptForMs } = await store.read(name, []);
        expect(keptForMs).toBeLessThanOrEqual(ms);
        await under.pass(ms + 10);
        expect((await store.read(name, [])).clock).toBe('');
        expect((await store.begin(name, LONG_MS)).id).not.toBe(id);
      }));

    it('also ends if an invalidation began it', async () => {
      await store.invalidate(name, { tags: ['t'], all: false, mode: 'delete' });
      const { keptForMs } = await store.read(name, []);
      expect(keptForMs).toBeGreaterThan(0);
      expect(keptForMs).toBeLessThanOrEqual(BEGUN_KEEP_MS);
    });

    it('is raised by an invalidation, which stamps the tags that it names and no others', async () => {
      const { id, at } = await clock();
      await store.invalidate(name, { tags: ['a', 'ü "b"\n'], all: false, mode: 'delete' });
      expect(await clock()).toEqual({ id, at: at + 1 });
      const { stamps } = await store.read(name, ['a', 'ü "b"\n', 'c']);
      expect(stamps.map(({ deletedAt }) => deletedAt)).toEqual([0, at + 1, at + 1, 0]);
      await heard('tags');
    });

    it('is sent once by each wake, with its id, its time and the tags', async () => {
      const { id, at } = await clock();
      const tags = ['a:b', 'ü "b"\n,]'];
      expect(await store.invalidate(name, { tags, all: false, mode: 'delete' })).toEqual({ id, at: at + 1 });
      expect(await store.invalidate(name, { tags: [], all: true, mode: 'mark_stale' })).toEqual({
        id,
        at: at + 2,
      });
      await store.invalidate(name, { tags: ['last'], all: false, mode: 'delete' });
      const mine = () => wakes.filter(({ namespace, kind }) => namespace === name && kind === 'tags');
      await until(() => mine().length >= 3);
      expect(mine().map((wake) => wake.kind === 'tags' && wake.wake)).toEqual([
        { clockId: id, time: at + 1, tags, all: false },
        { clockId: id, time: at + 2, tags: [], all: true },
        { clockId: id, time: at + 3, tags: ['last'], all: false },
      ]);
    });

    it('stores a mark apart from a deletion, and reports its age', async () => {
      const { at } = await clock();
      await store.invalidate(name, { tags: ['a'], all: false, mode: 'delete' });
      await store.invalidate(name, { tags: ['a'], all: false, mode: 'mark_stale' });
      await under.pass(30);
      const [, stamp] = (await store.read(name, ['a'])).stamps;
      expect(stamp).toMatchObject({ deletedAt: at + 1, marks: [{ at: at + 2 }] });
      // A timer may be a millisecond early.
      expect(stamp?.marks[0]?.agoMs).toBeGreaterThanOrEqual(29);
      expect(stamp?.marks[0]?.agoMs).toBeLessThan(LONG_MS);
    });

    it('keeps the time of the first mark until a deletion, however often it is repeated', async () => {
      const { at } = await clock();
      const mark = () => store.invalidate(name, { tags: ['a'], all: false, mode: 'mark_stale' });
      await mark();
      await under.pass(40);
      for (let again = 0; again < 3 * MARKS_MAX; again++) {
        await mark();
        await under.pass(1);
      }
      const [, stamp] = (await store.read(name, ['a'])).stamps;
      const marks = stamp?.marks ?? [];
      expect(marks).toHaveLength(MARKS_MAX);
      expect(marks[0]?.agoMs).toBeGreaterThanOrEqual(39 + 2 * MARKS_MAX);
      // A value that was published after a mark must not count as older than the mark.
      expect(marks.at(-1)).toMatchObject({ at: at + 1 + 3 * MARKS_MAX });
      expect(marks.at(-1)?.agoMs).toBeLessThan(marks.at(-2)?.agoMs ?? 0);
      await store.invalidate(name, { tags: ['a'], all: false, mode: 'delete' });
      const [, deleted] = (await store.read(name, ['a'])).stamps;
      expect(deleted).toEqual({ deletedAt: at + 2 + 3 * MARKS_MAX, marks: [] });
    });

    it('stamps the whole namespace', async () => {
      const { at } = await clock();
      await store.invalidate(name, { tags: [], all: true, mode: 'delete' });
      await store.invalidate(name, { tags: [], all: true, mode: 'mark_stale' });
      const { stamps } = await store.read(name, ['a']);
      expect(stamps).toMatchObject([
        { deletedAt: at + 1, marks: [{ at: at + 2 }] },
        { deletedAt: 0, marks: [] },
      ]);
    });
  });

  describe('rebuild times', () => {
    beforeEach(clock);

    it('are unknown at first, and follow the measured rebuilds', async () => {
      expect((await store.read(name, [])).rebuild).toBeUndefined();
      const first = { meanMs: 100, deviationMs: 50 };
      expect((await store.read(name, [], 100)).rebuild).toEqual(first);
      expect((await store.read(name, [])).rebuild).toEqual(first);
      const { rebuild } = await store.read(name, [], 180);
      expect(rebuild?.meanMs).toBeCloseTo(110, 1);
      expect(rebuild?.deviationMs).toBeCloseTo(57.5, 1);
    });

    it('outlast an invalidation', async () => {
      await store.read(name, [], 100);
      await store.invalidate(name, { tags: [], all: true, mode: 'delete' });
      expect((await store.read(name, [])).rebuild?.meanMs).toBe(100);
    });
  });

  describe('places', () => {
    const enter = (slot: string, ttlMs = LONG_MS) =>
      store.enter(name, { slot, max: 2, ttlMsMax: 60_000, ttlMs });

    it('are given up to the maximum, and again once one is returned', async () => {
      expect([await enter('a'), await enter('b'), await enter('c')]).toEqual([true, true, false]);
      expect(await enter('a')).toBe(true);
      await store.leave(name, 'b');
      await heard('room');
      expect([await enter('c'), await enter('d')]).toEqual([true, false]);
    });

    it('end after their time to live', async () => {
      expect([await enter('a', 20), await enter('b')]).toEqual([true, true]);
      await under.pass(25);
      expect([await enter('c'), await enter('d')]).toEqual([true, false]);
    });

    it('can be kept under another name until their time to live ends', () =>
      inRounds(ROUNDS_MS, async (ms) => {
        another();
        await enter('a', 3 * ms);
        expect(await store.keep(name, 'a', 'lease', LONG_MS)).toBe(true);
        expect(await store.keep(name, 'a', 'lease', LONG_MS)).toBe(false);
        expect(await store.keep(name, 'lease', 'lease', LONG_MS)).toBe(true);
        await under.pass(3 * ms + 10);
        expect([await enter('b'), await enter('c')]).toEqual([true, false]);
        await store.leave(name, 'lease');
        expect(await enter('c', 10)).toBe(true);
        await under.pass(15);
        expect(await store.keep(name, 'c', 'c', LONG_MS)).toBe(false);
      }));

    it('are returned only once', async () => {
      await enter('a');
      await store.leave(name, 'a');
      await heard('room');
      await store.leave(name, 'a');
      await store.invalidate(name, { tags: ['x'], all: false, mode: 'delete' });
      await heard('tags');
      const own = wakes.filter(({ namespace }) => namespace === name);
      expect(own.map(({ kind }) => kind)).toEqual(['room', 'tags']);
    });
  });
}
