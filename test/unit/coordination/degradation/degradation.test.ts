import { describe, expect, it } from 'vitest';
import { Degradation } from '../../../../src/coordination/degradation/degradation.js';
import { Lateness } from '../../../../src/coordination/degradation/lateness.js';
import type { Ballot } from '../../../../src/coordination/ports/lease-quorum.js';
import { NO_OBSERVER } from '../../../../src/coordination/ports/observer.js';
import { keyOf } from '../../../../src/coordination/words/key.js';
import type { Degraded } from '../../../../src/coordination/words/outcome.js';
import { MemoryLeaseQuorum } from '../../../../src/memory/lease-quorum.js';
import { MemoryValueStore } from '../../../../src/memory/value-store.js';
import { MemoryWakeChannel } from '../../../../src/memory/wake-channel.js';
import { ChaosValueStore, type StoreStep } from '../../../support/chaos-value-store.js';
import { LIMITS } from '../../../support/coordination-trial.js';
import { freshNonce } from '../../../support/fresh-nonce.js';
import { ManualClock } from '../../../support/manual-clock.js';

const { id } = keyOf('space', 'a key');

function trial() {
  const clock = new ManualClock();
  const told: Degraded[] = [];
  const lateness = new Lateness({ clock, observer: NO_OBSERVER, limits: LIMITS });
  const steps: string[] = [];
  const observer = {
    degraded: (mode: Degraded) => told.push(mode),
    storeStep: (...step: string[]) => steps.push(step.join(' ')),
  };
  const real = new MemoryLeaseQuorum({ clock });
  const degradation = new Degradation(observer, lateness, real);
  const chaos = new ChaosValueStore(new MemoryValueStore({ clock, wakes: new MemoryWakeChannel() }));
  let ballot: Ballot | undefined;
  const quorum = degradation.watchedQuorum({
    groupOf: () => real.groupOf(),
    acquire: async (to, nonce, leaseMs) => ballot ?? real.acquire(to, nonce, leaseMs),
    extend: async (...to) => ballot ?? real.extend(...to),
    release: (...to) => real.release(...to),
  });
  const vote = (next: Ballot | undefined) => {
    ballot = next;
    return quorum.acquire(id, freshNonce(), 1_000);
  };
  return { degradation, told, steps, chaos, store: degradation.watchedStore(chaos), quorum, vote };
}

describe('the degradation', () => {
  it('descends when an authority stops answering, ascends when it answers again, and reports each step once', async () => {
    const { degradation, told, chaos, store, vote } = trial();
    const read = () => store.read(id).catch(() => {});
    await read();
    await vote({ kind: 'unavailable' });
    await vote({ kind: 'unavailable' });
    chaos.down = true;
    await read();
    await read();
    expect(degradation.mode).toBe('local');
    await vote({ kind: 'held' });
    chaos.down = false;
    await read();
    expect(told).toEqual(['none', 'quorum_lost', 'local', 'store_lost', 'none']);
  });

  it.each<Ballot>([{ kind: 'held' }, { kind: 'undecided' }])('counts $kind as an answer', async (ballot) => {
    const { degradation, vote } = trial();
    await vote({ kind: 'unavailable' });
    await vote(ballot);
    expect(degradation.mode).toBe('none');
  });

  it('of a hit depends on the store alone, because a hit asks no lock node', async () => {
    const { degradation, chaos, store, vote } = trial();
    await vote({ kind: 'unavailable' });
    expect([degradation.mode, degradation.modeOfHit]).toEqual(['quorum_lost', 'none']);
    chaos.down = true;
    await store.read(id).catch(() => {});
    expect([degradation.mode, degradation.modeOfHit]).toEqual(['local', 'store_lost']);
  });

  it('counts the ballot of an extension like that of an acquisition', async () => {
    const { degradation, quorum, vote } = trial();
    await vote({ kind: 'unavailable' });
    await quorum.extend(id, 'n', 1_000);
    expect(degradation.mode).toBe('quorum_lost');
  });

  const steps: [StoreStep, unknown[]][] = [
    ['read', [id]],
    ['arm', [id, { nonce: 'n', expiresInMs: 1, leaseMs: 1, fenceRead: 0, valueFenceRead: 0, keepMs: 1 }]],
    ['adopt', [id, 'n']],
    ['publish', [id, { nonce: 'n', keepMs: 1 }]],
    ['release', [id, { nonce: 'n', keepMs: 1 }]],
    ['extend', [id, { nonce: 'n', keepMs: 1 }]],
    ['invalidate', [id, { mode: 'delete', keepMs: 1 }]],
  ];
  it.each(steps)(
    'follows the store by the replies to %s, and passes replies and errors on unchanged',
    async (step, args) => {
      const { degradation, chaos, store, steps } = trial();
      const call = () => (store[step] as (...args: unknown[]) => Promise<unknown>)(...args);
      chaos.down = true;
      await expect(call()).rejects.toThrow('the store is down');
      expect(degradation.mode).toBe('store_lost');
      chaos.down = false;
      await call();
      expect(degradation.mode).toBe('none');
      chaos.down = true;
      chaos.missing = 'late';
      await expect(call()).rejects.toThrow();
      expect(degradation.mode).toBe('none');
      expect(chaos.asked).toEqual([step, step, step]);
      expect(steps).toEqual([`${step} failed`, `${step} done`, `${step} late`]);
    },
  );

  it('does not count an internal error as a loss', async () => {
    const { degradation } = trial();
    const store = degradation.watchedStore({
      read: () => Promise.reject(new TypeError('ours')),
    } as never);
    await expect(store.read(id)).rejects.toThrow('ours');
    expect(degradation.mode).toBe('none');
  });

  it('has its own mode for each group of lock nodes, and reports the lowest mode and the lost groups', async () => {
    const told: (readonly [Degraded, readonly string[]])[] = [];
    const clock = new ManualClock();
    const lateness = new Lateness({ clock, observer: NO_OBSERVER, limits: LIMITS });
    const groups = { a: { name: 'A', label: 'a:1' }, b: { name: 'B', label: 'b:1' } };
    const ballots: Record<string, Ballot> = { a: { kind: 'held' }, b: { kind: 'held' } };
    const vote = async (of: string) => ballots[of] as Ballot;
    const real = {
      groupOf: (of: string) => groups[of as 'a' | 'b'],
      ...{ acquire: vote, extend: vote, release: async () => {} },
    };
    const observer = {
      degraded: (mode: Degraded, lost: readonly string[]) => told.push([mode, lost]),
      storeStep: () => {},
    };
    const degradation = new Degradation(observer, lateness, real);
    const quorum = degradation.watchedQuorum(real);
    const ask = (of: 'a' | 'b', kind: 'held' | 'unavailable') => {
      ballots[of] = { kind };
      return quorum.acquire(of, 'n', 1);
    };
    await ask('a', 'held');
    await ask('b', 'unavailable');
    // The other group keeps its mode, and its ballots change nothing.
    await ask('a', 'held');
    expect([degradation.modeOf('a'), degradation.modeOf('b'), degradation.mode]).toEqual([
      'none',
      'quorum_lost',
      'quorum_lost',
    ]);
    await ask('a', 'unavailable');
    await ask('b', 'held');
    await ask('a', 'held');
    expect(told).toEqual([
      ['none', []],
      ['quorum_lost', ['b:1']],
      ['quorum_lost', ['a:1', 'b:1']],
      ['quorum_lost', ['a:1']],
      ['none', []],
    ]);
  });
});
