import { createHook } from 'node:async_hooks';
import { readdirSync, readFileSync } from 'node:fs';
import { Metadata, type MethodDefinition, type ServerWritableStream } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import type { GetOrLockAnswer } from '../../../src/coordination/words/outcome.js';
import { defaultPolicy } from '../../../src/coordination/words/policy.js';
import type { Domain, Edge } from '../../../src/grpc/answer.js';
import { CALLS } from '../../../src/grpc/calls.js';
import {
  CoordinatorServiceService as contract,
  GetOrLockManyRequest,
  GetOrLockRequest,
} from '../../../src/grpc/generated/dibs/v1/coordinator.js';
import { many } from '../../../src/grpc/many.js';
import { Outbox } from '../../../src/grpc/session/outbox.js';
import { Session } from '../../../src/grpc/session/session.js';
import type { Decoded } from '../../../src/grpc/strict-codec.js';
import { unary } from '../../../src/grpc/unary.js';
import { LIMITS } from '../../support/coordination-trial.js';

const hit: GetOrLockAnswer = {
  outcome: {
    ...{ kind: 'hit', payload: { kind: 'absent' }, fresh: true, freshForMs: 1, fence: 1, tags: [] },
    rebuilding: false,
  },
  degraded: 'none',
};
const notAsked = () => Promise.reject(new Error('not to be asked'));
const coordinator: Domain = {
  ...{ getOrLockAtOnce: () => hit, giveBack: notAsked, watchLease: () => {} },
  ...{
    publish: notAsked,
    release: notAsked,
    extend: notAsked,
    takeOver: notAsked,
    invalidate: notAsked,
    explain: notAsked,
  },
};
const edge: Edge = {
  ...{ coordinator, limits: LIMITS, policyOf: () => defaultPolicy(LIMITS), holder: '', session: undefined },
  ...{ guard: undefined, tracing: undefined, pace: () => {}, unexpected: () => {}, failed: () => {} },
};
const transport = (message: unknown) => ({
  ...{ request: { ok: true, message }, cancelled: false, metadata: new Metadata() },
  ...{ getDeadline: () => Number.POSITIVE_INFINITY, on: () => {} },
});

/** How many promises are created while `work` runs. */
function promisesIn(work: () => void): number {
  let promises = 0;
  const hook = createHook({
    init: (_id, type) => {
      if (type === 'PROMISE') promises += 1;
    },
  });
  hook.enable();
  try {
    work();
  } finally {
    hook.disable();
  }
  return promises;
}

describe('a hit in memory creates no promise', () => {
  it('while any other promise is counted', () => {
    expect(promisesIn(() => void Promise.resolve())).toBe(1);
  });

  it('in a unary call', () => {
    const { handler } = unary(
      CALLS.getOrLock,
      contract.getOrLock as MethodDefinition<unknown, unknown>,
      edge,
    );
    const call = transport(GetOrLockRequest.fromPartial({ key: 'k' })) as unknown as Parameters<
      typeof handler
    >[0];
    const answers: unknown[] = [];
    expect(promisesIn(() => handler(call, (_error, answer) => answers.push(answer)))).toBe(0);
    expect(answers).toMatchObject([{ outcome: { $case: 'hit' } }]);
  });

  it('in GetOrLockMany', () => {
    const method = contract.getOrLockMany as MethodDefinition<unknown, unknown>;
    const { handler } = many(CALLS.getOrLockMany, method, edge);
    const written: unknown[] = [];
    const stream = {
      ...transport(GetOrLockManyRequest.fromPartial({ keys: ['a', 'b'] })),
      write: (response: unknown) => written.push(response),
      end: () => written.push('end'),
    };
    const call = stream as unknown as ServerWritableStream<Decoded<unknown>, unknown>;
    expect(promisesIn(() => handler(call))).toBe(0);
    expect(written).toMatchObject([{ key: 'a' }, { key: 'b' }, 'end']);
  });

  it('on a session', () => {
    const session = new Session(edge, '', '');
    session.attach(new Outbox({ write: () => true, once: () => {} }, () => {}));
    const request = { $case: 'getOrLock', value: GetOrLockRequest.fromPartial({ key: 'k' }) } as const;
    const take = () => session.receive(0, { id: 1, traceparent: '', request });
    expect(promisesIn(take)).toBe(0);
  });
});

it('carriers name no RPC', () => {
  const folder = 'src/grpc/session';
  const carriers = [
    'src/grpc/unary.ts',
    'src/grpc/many.ts',
    ...readdirSync(folder).map((it) => `${folder}/${it}`),
  ];
  const names = new RegExp(`\\b(${Object.keys(CALLS).join('|')})\\b`);
  const naming = carriers.filter((path) =>
    names.test(readFileSync(path, 'utf8').replaceAll(/\/\*[\s\S]*?\*\//g, '')),
  );
  expect(naming).toEqual([]);
});
