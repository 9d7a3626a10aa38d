import { expect, test } from 'vitest';
import {
  CALL_BYTES_MAX,
  CALL_STEPS_MAX,
  GroupCommit,
  type Lane,
  type Part,
} from '../../../src/quorum/group-commit.js';
import type { LockStep, TakeStep } from '../../../src/quorum/lock-node.js';
import { ManualClock } from '../../support/manual-clock.js';

interface Sent {
  readonly node: number;
  readonly what: 'take' | 'free';
  readonly part: Part<TakeStep, string> | Part<LockStep, void>;
}

function trial(nodes: number) {
  const clock = new ManualClock();
  const commit = new GroupCommit<string>(clock);
  const sent: Sent[] = [];
  for (let node = 0; node < nodes; node += 1) {
    const lane: Lane<string> = {
      take: (part) => sent.push({ node, what: 'take', part }),
      free: (part) => sent.push({ node, what: 'free', part }),
    };
    expect(commit.join(lane)).toBe(node);
  }
  const all = Array.from({ length: nodes }, (_, node) => node);
  const ask = (kind: TakeStep['kind'], id: string, to = all) => {
    const step: TakeStep = { kind, id, nonce: 'nonce', ttlMs: 1_000 };
    for (const node of to) commit.take(node, step, () => {});
  };
  const free = (id: string, to = all) => {
    const step = { id, nonce: 'nonce' };
    for (const node of to) commit.free(node, step, () => {});
  };
  /** The calls of one node: what each does, and for which ids. */
  const callsOf = (node: number) =>
    sent
      .filter((one) => one.node === node)
      .map(({ what, part }) => `${what} ${part.steps.map(({ id }) => id).join(' ')}`);
  return { clock, commit, sent, ask, free, callsOf };
}

const turn = () => new Promise<void>((resolve) => process.nextTick(resolve));

test('the steps of one turn are sent in one call for each node, in the order of their arrival', async () => {
  const { sent, ask, callsOf } = trial(2);
  ask('acquire', 'a');
  await Promise.resolve();
  ask('extend', 'b');
  ask('acquire', 'c');
  expect(sent).toEqual([]);
  await turn();
  expect(callsOf(0)).toEqual(['take a b c']);
  expect(callsOf(1)).toEqual(['take a b c']);
  ask('acquire', 'd');
  await turn();
  expect(callsOf(1)).toEqual(['take a b c', 'take d']);
});

test('nodes with the same steps share one list, and another node has its own', async () => {
  const { sent, ask } = trial(3);
  ask('acquire', 'a');
  ask('acquire', 'b', [0, 2]);
  ask('acquire', 'c');
  await turn();
  const [first, second, third] = sent.map(({ part }) => part.steps);
  expect(third).toBe(first);
  expect(first?.map(({ id }) => id)).toEqual(['a', 'b', 'c']);
  expect(second?.map(({ id }) => id)).toEqual(['a', 'c']);
});

test('a node gets the same step twice if it was asked twice', async () => {
  const { commit, callsOf } = trial(2);
  const step: TakeStep = { kind: 'extend', id: 'a', nonce: 'n', ttlMs: 1 };
  for (const node of [0, 0, 1]) commit.take(node, step, () => {});
  await turn();
  expect([callsOf(0), callsOf(1)]).toEqual([['take a a'], ['take a']]);
});

test('steps that free are sent before steps that take, and never in the same call', async () => {
  const { ask, free, callsOf } = trial(1);
  ask('acquire', 'a');
  free('b');
  ask('extend', 'c');
  free('d');
  await turn();
  expect(callsOf(0)).toEqual(['free b d', 'take a c']);
});

test('the steps of one key keep their order', async () => {
  const { ask, free, callsOf } = trial(2);
  free('a');
  ask('acquire', 'a');
  free('b');
  free('a');
  ask('acquire', 'a');
  ask('acquire', 'c');
  await turn();
  for (const node of [0, 1]) {
    expect(callsOf(node)).toEqual(['free a b', 'take a', 'free a', 'take a c']);
  }
});

test('a call has a bounded number of steps, and the next step begins another', async () => {
  const { ask, callsOf } = trial(2);
  for (let at = 0; at < CALL_STEPS_MAX; at += 1) ask('acquire', `${at}`);
  await turn();
  expect(callsOf(1)).toHaveLength(1);
  for (let at = 0; at <= CALL_STEPS_MAX; at += 1) ask('acquire', `${at}`);
  await turn();
  expect(callsOf(1)).toHaveLength(3);
  expect(callsOf(1).at(-1)).toBe(`take ${CALL_STEPS_MAX}`);
});

test('a call has a bounded number of bytes, and what does not fit begins another', async () => {
  const { ask, callsOf } = trial(1);
  const half = CALL_BYTES_MAX / 2 - 16 - 'nonce'.length;
  ask('acquire', 'a'.repeat(half));
  ask('acquire', 'b'.repeat(half));
  await turn();
  expect(callsOf(0)).toHaveLength(1);
  ask('acquire', 'a'.repeat(half));
  ask('acquire', 'b'.repeat(half + 1));
  await turn();
  expect(callsOf(0)).toHaveLength(3);
});

test('a part tells how long ago its first step was requested', async () => {
  const { clock, sent, ask } = trial(1);
  ask('acquire', 'a');
  clock.advance(7);
  ask('acquire', 'b');
  clock.advance(2);
  await turn();
  expect(sent.map(({ part }) => part.sinceMs)).toEqual([9]);
});
