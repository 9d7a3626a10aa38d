import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { SessionRequest } from '../../../../src/grpc/generated/dibs/v1/coordinator.js';
import { Intake } from '../../../../src/grpc/session/intake.js';
import { Turns } from '../../../../src/grpc/turns.js';

/** Of each call. */
const request = { $case: 'getOrLock' as const, value: {} };

function trial(work = 1) {
  const noted: unknown[] = [];
  const pauses = new Map<number, () => void>();
  const intake = new Intake(new Turns(), {
    take: (at, { id }) => {
      if (id === 99) throw new Error('broken');
      noted.push([at, id]);
      return work;
    },
    cancel: (id) => noted.push(`cancel ${id}`),
    fail: (error) => noted.push(`fail ${(error as Error).message}`),
    reading: (isWanted) => noted.push(isWanted ? 'free' : 'held'),
    after: (ms, act) => pauses.set(ms, act),
  });
  const message = (ids: readonly number[], cancelledIds: readonly number[] = []) =>
    SessionRequest.fromPartial({
      calls: ids.map((id) => ({ id, request })),
      cancelledIds: [...cancelledIds],
    });
  return { intake, noted, message, pauses };
}

it('takes the calls of a small message at once, and then its cancellations', () => {
  const { intake, noted, message } = trial();
  intake.add(message([1, 2], [1]));
  expect(noted).toEqual([[0, 1], [1, 2], 'cancel 1']);
});

it('stops reading while work is left, keeps the order, and reports when everything is taken', async () => {
  const { intake, noted, message } = trial(1_000);
  intake.add(message([1, 2]));
  intake.add(message([], [2]));
  expect(noted).toEqual([[0, 1], 'held']);
  await intake.empty();
  expect(noted.slice(2)).toEqual([[1, 2], 'cancel 2', 'free']);
});

it('takes nothing for a while after an empty message', async () => {
  const { intake, noted, message, pauses } = trial();
  const hello = SessionRequest.fromPartial({ hello: {} });
  for (const one of [hello, message([1]), message([]), message([2])]) intake.add(one);
  await nextTurn();
  expect([...noted, ...pauses.keys()]).toEqual([[0, 1], 'held', 10]);
  pauses.get(10)?.();
  expect(noted.slice(2)).toEqual([[0, 2], 'free']);
  intake.add(message([]));
  intake.end();
  pauses.get(10)?.();
  expect(noted.slice(4)).toEqual(['held']);
});

it('takes nothing for a while after a message in which no call has a request', async () => {
  const { intake, noted, message, pauses } = trial();
  const without = { id: 1 };
  for (const calls of [[without, { id: 2, request }], [without]])
    intake.add(SessionRequest.fromPartial({ calls }));
  intake.add(message([3]));
  await nextTurn();
  expect([...noted, ...pauses.keys()]).toEqual([[0, 1], [1, 2], [0, 1], 'held', 10]);
  pauses.get(10)?.();
  expect(noted.slice(4)).toEqual([[0, 3], 'free']);
});

it('takes nothing more after a fault or after its end', async () => {
  const { intake, noted, message } = trial(1_000);
  intake.add(message([1, 99, 2]));
  await nextTurn();
  await nextTurn();
  expect(noted).toEqual([[0, 1], 'held', 'fail broken']);
  const other = trial(1_000);
  other.intake.add(other.message([1, 2]));
  other.intake.end();
  await other.intake.empty();
  await nextTurn();
  expect(other.noted).toEqual([[0, 1], 'held']);
});

it('takes nothing while its client does not read, and continues afterwards', async () => {
  const { intake, noted, message } = trial();
  intake.hold(true);
  intake.add(message([1, 2]));
  await nextTurn();
  expect(noted).toEqual(['held']);
  intake.hold(false);
  expect(noted).toEqual(['held', [0, 1], [1, 2], 'free']);
  intake.hold(false);
  intake.add(message([3]));
  expect(noted).toHaveLength(5);
});

it('refuses more cancellations than open calls are possible', () => {
  const { intake, message } = trial();
  const ids = Array.from({ length: 100_000 }, (_, at) => at);
  expect(() => intake.add(message([], ids))).not.toThrow();
  expect(() => trial().intake.add(message([], [...ids, 1]))).toThrow(
    'cancelled_ids: 100001 is outside 0 to 100000',
  );
});
