import { describe, expect, it } from 'vitest';
import {
  ATTEMPTS_MIN,
  type AttemptEnd,
  Indecision,
  KNOWN_MS_MAX,
  UNDECIDED_MS_MIN,
} from '../../../../src/coordination/degradation/indecision.js';
import { keyOf } from '../../../../src/coordination/words/key.js';
import { CoordinationTrial } from '../../../support/coordination-trial.js';
import { ManualClock } from '../../../support/manual-clock.js';

const UNDECIDED: AttemptEnd = { kind: 'undecided', by: 'votes' };
const FENCE = 7;

function trial() {
  const clock = new ManualClock();
  const told: unknown[][] = [];
  const indecision = new Indecision(clock, { undecided: (...it) => told.push(it) });
  /** Undecided attempts, the first one now and the last one `overMs` later. */
  const fail = (attempts: number, overMs: number, id = 'k') => {
    for (let at = 0; at < attempts; at += 1) {
      if (at > 0) clock.advance(overMs / (attempts - 1));
      indecision.attempted(id, FENCE, UNDECIDED);
    }
  };
  return { clock, told, indecision, fail };
}

describe('a replica that decides nothing', () => {
  it.each([
    [ATTEMPTS_MIN, UNDECIDED_MS_MIN, true],
    [ATTEMPTS_MIN - 1, UNDECIDED_MS_MIN, false],
    [ATTEMPTS_MIN, UNDECIDED_MS_MIN - 5, false],
  ])('reports it after %i attempts within %i ms: %s', (attempts, overMs, isTold) => {
    const { told, indecision, fail } = trial();
    fail(attempts, overMs);
    expect(told).toEqual(isTold ? [[true, UNDECIDED_MS_MIN, 'votes']] : []);
    expect(indecision.lasts).toBe(isTold);
  });

  it('counts the attempts for all keys together, and reports it once', () => {
    const { told, indecision, fail, clock } = trial();
    for (let at = 0; at < 200; at += 1) {
      fail(1, 0, `k${at}`);
      clock.advance(UNDECIDED_MS_MIN / 10);
    }
    expect(told).toHaveLength(1);
    expect(indecision.lasts).toBe(true);
  });

  it.each<AttemptEnd>([{ kind: 'held' }, { kind: 'read_again' }, { kind: 'granted' }])(
    'has decided when an attempt ends as $kind',
    (attempt) => {
      const { told, indecision, fail } = trial();
      fail(ATTEMPTS_MIN, UNDECIDED_MS_MIN);
      indecision.attempted('other', FENCE, attempt);
      expect(told.at(-1)).toEqual([false, UNDECIDED_MS_MIN]);
      expect(indecision.lasts).toBe(false);
      fail(ATTEMPTS_MIN - 1, UNDECIDED_MS_MIN);
      expect(told).toHaveLength(2);
    },
  );

  it.each<AttemptEnd>([{ kind: 'abandoned' }, { kind: 'held_back' }])(
    'has decided nothing when an attempt ends as $kind',
    (attempt) => {
      const { indecision, fail } = trial();
      fail(ATTEMPTS_MIN, UNDECIDED_MS_MIN);
      indecision.attempted('k', FENCE, attempt);
      expect(indecision.lasts).toBe(true);
    },
  );

  it('has decided when a later lease of the same key appears, and only then', () => {
    const { indecision, fail } = trial();
    fail(ATTEMPTS_MIN, UNDECIDED_MS_MIN);
    indecision.seen('k', FENCE);
    indecision.seen('never asked for', FENCE + 1);
    expect(indecision.lasts).toBe(true);
    indecision.seen('k', FENCE + 1);
    expect(indecision.lasts).toBe(false);
  });

  it('no longer reports it a minute after the last attempt', () => {
    const { told, clock, indecision, fail } = trial();
    fail(ATTEMPTS_MIN, UNDECIDED_MS_MIN);
    clock.advance(KNOWN_MS_MAX - 1);
    expect(indecision.lasts).toBe(true);
    clock.advance(1);
    expect(indecision.lasts).toBe(false);
    fail(1, 0);
    expect(indecision.lasts).toBe(true);
    expect(told).toHaveLength(1);
  });

  it('does not add up single attempts that are far apart', () => {
    const { told, clock, fail } = trial();
    for (let at = 0; at < 20; at += 1) {
      fail(1, 0);
      clock.advance(KNOWN_MS_MAX);
    }
    expect(told).toEqual([]);
  });
});

it('a replica whose votes never have a winner reports indecision until the first lease', async () => {
  const trial = new CoordinationTrial();
  trial.quorum.undecided = Number.POSITIVE_INFINITY;
  for (let at = 0; at < 30; at += 1) {
    await trial.ask({ key: keyOf('trial', `k${at}`), waitMs: 0 });
    await trial.pass(500, 100);
  }
  expect(trial.told('undecided')).toEqual([[true, expect.any(Number), 'votes']]);
  expect(trial.coordinator.undecided).toBe(true);
  trial.quorum.undecided = 0;
  await trial.lease();
  expect(trial.told('undecided').at(-1)).toEqual([false, expect.any(Number)]);
});

it('a replica whose keys are always leased by another one does not report indecision', async () => {
  const trial = new CoordinationTrial();
  const there = trial.replica();
  for (let at = 0; at < 12; at += 1) {
    const gate = trial.quorum.holdBefore('acquire');
    const late = trial.send({ waitMs: 0 });
    await trial.settle();
    const { token } = await trial.lease({}, there);
    gate.open();
    await late.promise;
    await trial.publish(token, 'v', { ttlMs: 1_000 }, there);
    await trial.ask({ waitMs: 0 });
    await trial.pass(2_000, 100);
  }
  expect(trial.told('undecided')).toEqual([]);
});
