import { expect, it } from 'vitest';
import type { Guard } from '../../../src/access/guard.js';
import { Call } from '../../../src/coordination/words/call.js';
import { CoordinationError } from '../../../src/coordination/words/errors.js';
import type { GetOrLockAnswer } from '../../../src/coordination/words/outcome.js';
import { defaultPolicy } from '../../../src/coordination/words/policy.js';
import { type Answered, answer, type Edge } from '../../../src/grpc/answer.js';
import { CALLS } from '../../../src/grpc/calls.js';
import { GetOrLockRequest, InvalidateRequest } from '../../../src/grpc/generated/dibs/v1/coordinator.js';
import { LIMITS } from '../../support/coordination-trial.js';
import { someLease } from '../../support/some-lease.js';

const lease = someLease('me');

/** A waiting caller, whose rights may end meanwhile. */
function trial() {
  const counted: number[] = [];
  const givenBack: string[] = [];
  let rights: 'all' | 'none' | 'unknown' = 'all';
  let settle: (answer: GetOrLockAnswer | Error) => void = () => {};
  const notAsked = () => Promise.reject(new Error('not to be asked'));
  const coordinator = {
    getOrLockAtOnce: (_request: unknown, _call: unknown, settled: typeof settle) => {
      settle = settled;
      return undefined;
    },
    giveBack: async (key: { key: string }) => {
      givenBack.push(key.key);
    },
    watchLease: () => {},
    ...{ publish: notAsked, release: notAsked, extend: notAsked, takeOver: notAsked, explain: notAsked },
    invalidate: async () => ({ keysInvalidated: 0, leasesVoided: 0 }),
  };
  const guard: Guard = {
    admit: () => ({ identity: 'me', isKnown: true }),
    readmit: () => {
      if (rights === 'unknown') throw new CoordinationError('unauthenticated', 'removed');
    },
    allow: (_identity, _method, _permission, _namespace, calls) => {
      if (calls > 0) counted.push(calls);
      if (rights === 'none') throw new CoordinationError('permission_denied', 'not any more');
    },
    spend: () => {
      counted.push(1);
    },
    ...{ may: () => true, invalidated: () => {} },
  };
  const edge: Edge = {
    ...{ coordinator, limits: LIMITS, policyOf: () => defaultPolicy(LIMITS), holder: '', session: undefined },
    ...{ guard, tracing: undefined, pace: () => {}, unexpected: () => {}, failed: () => {} },
  };
  const call = new Call('me');
  const answers: (Answered<unknown> | Error)[] = [];
  const visitor = { identity: 'me', isKnown: true };
  const ask = (request: GetOrLockRequest) =>
    answer(CALLS.getOrLock, request, call, edge, (it) => answers.push(it), visitor);
  const settleWith = (answer: GetOrLockAnswer | Error) => settle(answer);
  const lose = (what: 'none' | 'unknown') => {
    rights = what;
  };
  return { ask, edge, call, answers, givenBack, counted, settleWith, lose };
}

it.each([
  ['none', 'permission_denied'],
  ['unknown', 'unauthenticated'],
] as const)(
  'a waiter that has lost its rights (%s) gets an error, and its lease is given back',
  (what, kind) => {
    const { ask, call, answers, givenBack, settleWith, lose } = trial();
    ask(GetOrLockRequest.fromPartial({ key: 'k' }));
    lose(what);
    settleWith({ outcome: lease, degraded: 'none' });
    expect(answers).toEqual([expect.objectContaining({ kind })]);
    expect(givenBack).toEqual(['k']);
    expect(call.cancelled).toBe(true);
    // A further answer, as in GetOrLockMany, is given back silently.
    settleWith({ outcome: lease, degraded: 'none' });
    expect(answers).toHaveLength(1);
    expect(givenBack).toEqual(['k', 'k']);
  },
);

it('a waiter that still has its rights gets its answer', () => {
  const { ask, answers, givenBack, settleWith } = trial();
  ask(GetOrLockRequest.fromPartial({ key: 'k' }));
  settleWith({ outcome: lease, degraded: 'none' });
  expect(answers).toMatchObject([{ given: { lease } }]);
  expect(givenBack).toEqual([]);
});

it('a call counts as the number of its keys and tags, and one that cannot be decoded counts as one', () => {
  const { ask, edge, call, counted } = trial();
  const invalidate = (keys: string[], tags: string[], all = false) =>
    answer(CALLS.invalidate, InvalidateRequest.fromPartial({ keys, tags, all }), call, edge, () => {});
  invalidate(['a', 'b', 'c'], ['x']);
  invalidate([], [], true);
  ask(GetOrLockRequest.fromPartial({ key: '' }));
  expect(counted).toEqual([4, 1, 1]);
});
