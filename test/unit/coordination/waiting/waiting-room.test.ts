import { describe, expect, it } from 'vitest';
import { Deadlines } from '../../../../src/coordination/leasing/deadlines.js';
import { Changes } from '../../../../src/coordination/reading/changes.js';
import { Waiter, WaitingRoom } from '../../../../src/coordination/waiting/waiting-room.js';
import { Call } from '../../../../src/coordination/words/call.js';
import { keyOf } from '../../../../src/coordination/words/key.js';
import { NO_RECORD } from '../../../../src/coordination/words/record.js';
import { ManualClock } from '../../../support/manual-clock.js';

const key = keyOf('space', 'a key');
const waiter = (at: number, settled: (answer: unknown) => void = () => {}) =>
  new Waiter({
    request: { key, intent: 'rebuild', requestId: '', holder: '' },
    call: new Call(),
    arrival: at,
    arrivedMs: 0,
    staleAllowed: true,
    patienceMs: 1_000,
    refreshDraw: 0,
    settled,
  });

function trial() {
  const clock = new ManualClock();
  const expired: number[] = [];
  const deadlines = new Deadlines<Waiter>(clock, (one) => {
    expired.push(one.arrival);
    room.leave(one);
  });
  const room = new WaitingRoom(key, clock, deadlines, new Changes());
  const enter = (at: number, expiresInMs = 1_000) => {
    const one = waiter(at);
    room.enter(one, expiresInMs);
    return one;
  };
  const slept = async (ms: number) => {
    let over = false;
    const sleep = room.sleep(ms).then(() => {
      over = true;
    });
    await Promise.resolve();
    return { isOver: () => over, sleep };
  };
  return { clock, room, enter, expired, slept };
}

describe('a waiting room', () => {
  it('keeps the order of arrival, even while some leave', () => {
    const { room, enter } = trial();
    const all = [0, 1, 2, 3].map((at) => enter(at));
    const seen: number[] = [];
    for (const one of room.waiters()) {
      seen.push(one.arrival);
      if (one.arrival === 0 && all[2] !== undefined) room.leave(all[2]);
    }
    expect(seen).toEqual([0, 1, 3]);
  });

  it('reports each waiter whose time is up, and none that has left', () => {
    const { clock, room, enter, expired } = trial();
    enter(0, 300);
    enter(1, 100);
    const left = enter(2, 200);
    room.leave(left);
    clock.advance(300);
    expect(expired).toEqual([1, 0]);
    expect(clock.timers).toBe(0);
  });

  it('lets a waiter leave once', () => {
    const { room, enter } = trial();
    const one = enter(0);
    expect(room.leave(one)).toBe(true);
    expect(room.leave(one)).toBe(false);
  });

  it('sleeps until its time is up', async () => {
    const { clock, enter, slept } = trial();
    enter(0);
    const nap = await slept(50);
    clock.advance(49);
    await Promise.resolve();
    expect(nap.isOver()).toBe(false);
    clock.advance(1);
    await nap.sleep;
  });

  it('sleeps until it is woken, and cancels its timer', async () => {
    const { clock, room, enter, slept } = trial();
    const one = enter(0);
    const nap = await slept(50);
    room.wake();
    await nap.sleep;
    room.leave(one);
    expect(clock.timers).toBe(0);
  });

  it('does not sleep if a wake came since the read began', async () => {
    const { room, enter, slept } = trial();
    enter(0);
    room.beginRead();
    room.wake();
    await (await slept(50)).sleep;
    // The next read may include what the wake was about.
    room.beginRead();
    expect((await slept(50)).isOver()).toBe(false);
  });

  it('wakes when the last waiter leaves', async () => {
    const { clock, room, enter, slept } = trial();
    const one = enter(0);
    const nap = await slept(50);
    room.leave(one);
    await nap.sleep;
    expect(clock.timers).toBe(0);
  });

  it('knows the holder from a read, and forgets it when a result is passed on', () => {
    const { clock, room } = trial();
    const nowMs = clock.nowMs();
    const lease = {
      ...{ nonce: 'n', fence: 1, expiresInMs: 700, leaseMs: 1_000, ageMs: 300, holder: '', traceparent: '' },
      ...{ reason: 'miss' as const, requestKey: '', owner: 1, quorumLost: false },
    };
    const record = { ...NO_RECORD, fence: 1, lease };
    room.note({ record, readAtMs: nowMs, arrivals: 1, sentAt: 0, from: 'store' });
    expect(room.holder).toEqual({ sinceMs: nowMs - 300, untilMs: nowMs + 700 });
    room.note({ record: NO_RECORD, readAtMs: nowMs, arrivals: 1, sentAt: 0, from: 'publish' });
    expect(room.holder).toBeUndefined();
    expect(room.snapshot?.record).toBe(record);
  });

  it('settles a waiter once, with an answer or with an error', () => {
    const told: unknown[] = [];
    const one = waiter(0, (answer) => told.push(answer));
    expect(one.gone).toBe(false);
    const first = new Error('first');
    one.settle(first);
    one.settle({
      outcome: { kind: 'busy', retryAfterMs: 0, holderAgeMs: 0, reason: 'undecided' },
      degraded: 'none',
    });
    expect(one.gone).toBe(true);
    expect(told).toEqual([first]);
  });
});

describe('the highest fence of a key that a room knows', () => {
  const read = (fence: number, sentAt: number) => ({
    record: { ...NO_RECORD, fence },
    readAtMs: 0,
    arrivals: 0,
    sentAt,
    from: 'store' as const,
  });

  it('is unknown until a read of the room tells it', () => {
    const { room } = trial();
    room.change(1, 5);
    expect(room.now.keyFence).toBe(Number.POSITIVE_INFINITY);
    room.note(read(10, 1));
    room.change(2, 6);
    expect(room.now).toMatchObject({ keyAt: 2, keyFence: 10 });
    room.change(3, 12);
    expect(room.now.keyFence).toBe(12);
  });

  it('is unknown again after a change with an unknown fence, until a later read', () => {
    const { room } = trial();
    room.note(read(10, 0));
    room.change(1, Number.POSITIVE_INFINITY);
    room.change(2, 11);
    expect(room.now.keyFence).toBe(Number.POSITIVE_INFINITY);
    room.note(read(20, 2));
    room.change(3, 11);
    expect(room.now.keyFence).toBe(20);
  });
});
