import { expect, it } from 'vitest';
import { Deadlines } from '../../../../src/coordination/leasing/deadlines.js';
import { NO_OBSERVER } from '../../../../src/coordination/ports/observer.js';
import { Changes } from '../../../../src/coordination/reading/changes.js';
import { Answers } from '../../../../src/coordination/waiting/answers.js';
import { Waiter, WaitingRoom } from '../../../../src/coordination/waiting/waiting-room.js';
import { Call } from '../../../../src/coordination/words/call.js';
import { keyOf } from '../../../../src/coordination/words/key.js';
import type { Hit } from '../../../../src/coordination/words/outcome.js';
import { SystemChance } from '../../../../src/system-chance.js';
import { ManualClock } from '../../../support/manual-clock.js';

const HIT: Hit = {
  kind: 'hit',
  payload: { kind: 'absent' },
  fresh: true,
  freshForMs: 5,
  fence: 1,
  tags: [],
  rebuilding: true,
};

function trial() {
  const clock = new ManualClock();
  const told: unknown[][] = [];
  const observer = {
    ...NO_OBSERVER,
    answered: (...it: unknown[]) => told.push(['answered', ...it]),
    saved: (...it: unknown[]) => told.push(['saved', ...it]),
  };
  const left: string[] = [];
  const limits = { leave: (identity: string) => left.push(identity) };
  const degradation = { modeOf: () => 'quorum_lost' as const, modeOfHit: 'none' as const };
  const answers = new Answers({ clock, chance: new SystemChance(), observer }, limits, degradation);
  const room = new WaitingRoom(keyOf('space', 'k'), clock, new Deadlines(clock, () => {}), new Changes());
  const settled: unknown[] = [];
  const request = { key: room.key, intent: 'rebuild', requestId: '', holder: '' } as const;
  const waiter = new Waiter({
    request,
    call: new Call('checkout'),
    arrival: 0,
    arrivedMs: clock.nowMs(),
    staleAllowed: true,
    patienceMs: 1_000,
    refreshDraw: 0,
    settled: (answer) => settled.push(answer),
  });
  room.enter(waiter, 1_000);
  return { answers, room, waiter, settled, told, left };
}

it('only the first answer is given', () => {
  const { answers, room, waiter, settled, left } = trial();
  expect(answers.give(room, waiter, HIT, 'publish')).toBe(true);
  expect(answers.give(room, waiter, answers.busy(room, 'draining'), 'drain')).toBe(false);
  answers.fail(room, waiter, new Error('too late'));
  expect(settled).toEqual([{ outcome: HIT, degraded: 'none' }]);
  expect([left, room.size]).toEqual([['checkout'], 0]);
});

it('an answer reports the degradation of the replica unless it carries its own', () => {
  const own = trial();
  own.answers.give(own.room, own.waiter, HIT, 'publish', 'store_lost');
  expect(own.told).toContainEqual(['answered', 'space', 'hit', 'store_lost']);
  const busy = trial();
  busy.answers.give(busy.room, busy.waiter, busy.answers.busy(busy.room, 'undecided'), 'timeout');
  expect(busy.told).toEqual([['answered', 'space', 'undecided', 'quorum_lost']]);
});

it('a caller that is served during a rebuild counts as a saved rebuild', () => {
  const { answers, room, waiter, told } = trial();
  answers.give(room, waiter, HIT, 'publish');
  expect(told).toContainEqual(['saved', 'space', 1]);
  expect(room.served).toBe(1);
});

it('a caller whose time is up gets the value held ready for it, or the reason why there is none', () => {
  const ready = trial();
  ready.waiter.meanwhile = () => ({ hit: HIT, degraded: undefined });
  ready.answers.timeOut(ready.room, ready.waiter);
  expect(ready.settled).toMatchObject([{ outcome: { kind: 'hit' }, degraded: 'none' }]);
  const unstored = trial();
  unstored.waiter.meanwhile = () => ({ hit: HIT, degraded: 'store_lost' });
  unstored.answers.timeOut(unstored.room, unstored.waiter);
  expect(unstored.settled).toMatchObject([{ outcome: { kind: 'hit' }, degraded: 'store_lost' }]);
  const over = trial();
  over.waiter.meanwhile = () => undefined;
  over.room.heldBack = true;
  over.answers.timeOut(over.room, over.waiter);
  expect(over.settled).toMatchObject([{ outcome: { kind: 'busy', reason: 'budget' } }]);
});
