import { describe, expect, it } from 'vitest';
import { explore, type Pick, picksOf } from './orders.js';

/** A world of processes that take their steps in order. It records each order as text. */
function world(steps: Record<string, number>) {
  const seen: string[] = [];
  return {
    seen,
    play: async (pick: Pick) => {
      const left = { ...steps };
      let happened = '';
      for (;;) {
        const moves = Object.keys(left).filter((name) => (left[name] ?? 0) > 0);
        if (moves.length === 0) break;
        const at = pick(moves.map((name) => ({ name })));
        if (at === undefined) return [];
        const name = moves[at] as string;
        left[name] = (left[name] ?? 0) - 1;
        happened += name;
      }
      seen.push(happened);
      return happened === 'bba' ? ['b twice before a'] : [];
    },
  };
}
const dependent = () => false;
const ALL = { deviations: Number.POSITIVE_INFINITY, faults: 0 };

describe('explore', () => {
  it('plays each order once if all steps depend on each other', async () => {
    const { seen, play } = world({ a: 2, b: 2 });
    const found = await explore(play, dependent, ALL);
    expect(seen.toSorted()).toEqual(['aabb', 'abab', 'abba', 'baab', 'baba', 'bbaa']);
    expect(found).toMatchObject({ orders: 6, pruned: 0, whole: true, badCount: 0 });
  });

  it('plays one order if all steps commute', async () => {
    const { seen, play } = world({ a: 2, b: 2, c: 2 });
    expect(await explore(play, () => true, ALL)).toMatchObject({ orders: 1, whole: true });
    expect(seen).toEqual(['aabbcc']);
  });

  it('stays within its bounds', async () => {
    const { seen, play } = world({ a: 2, b: 2 });
    await explore(play, dependent, { deviations: 0, faults: 0 });
    expect(seen).toEqual(['aabb']);
    await explore(play, dependent, { deviations: 1, faults: 0 });
    expect(seen.slice(1).toSorted()).toEqual(['aabb', 'abba', 'bbaa']);
  });

  it('returns the name of a bad order, which replays it', async () => {
    const { seen, play } = world({ a: 1, b: 2 });
    const { bad, badCount } = await explore(play, dependent, ALL);
    expect(badCount).toBe(1);
    await play(picksOf(bad[0]?.order ?? ''));
    expect(seen.at(-1)).toBe('bba');
  });

  it('counts each fault as a deviation, and plays at most as many as allowed', async () => {
    const played: string[] = [];
    const play = async (pick: Pick) => {
      let [happened, steps, lost] = ['', 0, 0];
      while (steps < 2) {
        const at = pick([{ name: 'step' }, { name: 'lose', isFault: true }]) as number;
        if (at === 0) steps += 1;
        else lost += 1;
        happened += at;
      }
      played.push(happened);
      return lost > 1 ? ['more than one'] : [];
    };
    const found = await explore(play, dependent, { deviations: 2, faults: 1 });
    expect(played.toSorted()).toEqual(['00', '010', '100']);
    expect(found.badCount).toBe(0);
  });

  it('throws if the same choices lead to another state', async () => {
    let plays = 0;
    const play = async (pick: Pick) => {
      plays += 1;
      pick(plays === 1 ? [{ name: 'a' }, { name: 'b' }] : [{ name: 'c' }]);
      return [];
    };
    await expect(explore(play, dependent, ALL)).rejects.toThrow('led elsewhere');
  });
});
