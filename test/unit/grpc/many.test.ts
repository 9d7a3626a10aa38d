import { Metadata, type MethodDefinition, type ServerWritableStream, status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import type { Guard } from '../../../src/access/guard.js';
import type { Call } from '../../../src/coordination/words/call.js';
import { CoordinationError } from '../../../src/coordination/words/errors.js';
import type { GetOrLockAnswer } from '../../../src/coordination/words/outcome.js';
import { defaultPolicy } from '../../../src/coordination/words/policy.js';
import type { GetOrLock } from '../../../src/coordination/words/requests.js';
import type { Domain } from '../../../src/grpc/answer.js';
import { CALLS } from '../../../src/grpc/calls.js';
import {
  CoordinatorServiceService as contract,
  GetOrLockManyRequest,
  type GetOrLockManyResponse,
} from '../../../src/grpc/generated/dibs/v1/coordinator.js';
import { many } from '../../../src/grpc/many.js';
import type { Decoded } from '../../../src/grpc/strict-codec.js';
import { LIMITS } from '../../support/coordination-trial.js';
import { settled } from '../../support/settled.js';
import { someLease } from '../../support/some-lease.js';
import { ToldTrace } from '../../support/told-trace.js';

const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const hit: GetOrLockAnswer = {
  outcome: {
    ...{
      kind: 'hit',
      payload: { kind: 'absent' },
      fresh: true,
      freshForMs: 1,
      fence: 1,
      tags: [],
      rebuilding: false,
    },
  },
  degraded: 'none',
};
const lease = someLease();

/** Answers by key: an answer, an error, or the promise of an answer. */
function trial(answers: Record<string, GetOrLockAnswer | Error | Promise<GetOrLockAnswer>>) {
  const written: GetOrLockManyResponse[] = [];
  const givenBack: string[] = [];
  let drained: (() => void) | undefined;
  let ended = false;
  const calls: Call[] = [];
  const notAsked = () => Promise.reject(new Error('not to be asked'));
  const coordinator: Domain = {
    getOrLockAtOnce: ({ key }: GetOrLock, call: Call, settled) => {
      calls.push(call);
      const answer = answers[key.key];
      if (answer instanceof Error) throw answer;
      if (!(answer instanceof Promise)) return answer;
      answer.then(settled, settled);
      return undefined;
    },
    giveBack: async ({ key }: { key: string }) => {
      givenBack.push(key);
    },
    watchLease: () => {},
    ...{
      publish: notAsked,
      release: notAsked,
      extend: notAsked,
      takeOver: notAsked,
      invalidate: notAsked,
      explain: notAsked,
    },
  };
  let isKnown = true;
  const readmit = () => {
    if (!isKnown)
      throw new CoordinationError('unauthenticated', 'authorization: the credentials were removed');
  };
  const guard: Guard = {
    ...{ admit: () => ({ identity: 'me', isKnown: true }), readmit },
    ...{ allow: () => {}, spend: () => {}, may: () => true, invalidated: () => {} },
  };
  const traces: ToldTrace[] = [];
  const failed: string[] = [];
  const tracing = {
    call: (method: string) => {
      const trace = new ToldTrace(method);
      traces.push(trace);
      return trace;
    },
  };
  const metadata = new Metadata();
  metadata.set('traceparent', TRACEPARENT);
  const gone: (() => void)[] = [];
  const failures: unknown[] = [];
  const stream = {
    full: false,
    emit: (_event: 'error', failure: unknown) => failures.push(failure),
    request: { ok: true, message: {} },
    cancelled: false,
    metadata,
    getDeadline: () => Date.now() + 5_000,
    on: (_event: 'cancelled', listener: () => void) => gone.push(listener),
    write(response: GetOrLockManyResponse) {
      written.push(response);
      return !this.full;
    },
    once: (_event: 'drain', listener: () => void) => {
      drained = listener;
    },
    end: () => {
      ended = true;
    },
  };
  const bounds = { limits: LIMITS, policyOf: () => defaultPolicy(LIMITS), holder: '', session: undefined };
  const { handler } = many(
    CALLS.getOrLockMany,
    contract.getOrLockMany as MethodDefinition<unknown, unknown>,
    {
      ...bounds,
      coordinator,
      guard,
      tracing,
      pace: () => {},
      unexpected: () => {},
      failed: (...it) => failed.push(it.join(' ')),
    },
  );
  const run = (...keys: string[]) => {
    stream.request.message = GetOrLockManyRequest.fromPartial({ namespace: 'n', keys });
    handler(stream as unknown as ServerWritableStream<Decoded<unknown>, unknown>);
  };
  const cancel = () => {
    for (const listener of gone) listener();
  };
  return {
    calls,
    run,
    cancel,
    stream,
    written,
    givenBack,
    traces,
    failed,
    failures,
    revoke: () => {
      isKnown = false;
    },
    drain: () => drained?.(),
    ended: () => ended,
  };
}

describe('the answers to many keys', () => {
  it('are sent as they are known, one for each key, and then the stream ends', async () => {
    let publish = (_answer: GetOrLockAnswer) => {};
    const late = new Promise<GetOrLockAnswer>((resolve) => {
      publish = resolve;
    });
    const { run, written, ended, calls } = trial({ a: late, b: hit, c: hit });
    run('a', 'b', 'c');
    await settled();
    expect(written.map(({ key }) => key)).toEqual(['b', 'c']);
    expect(ended()).toBe(false);
    publish(hit);
    await settled();
    expect(written.map(({ key }) => key)).toEqual(['b', 'c', 'a']);
    expect(ended()).toBe(true);
    expect(calls.map(({ identity, traceparent }) => [identity, traceparent])).toEqual(
      Array(3).fill(['me', TRACEPARENT]),
    );
  });

  it('contain the error of a key as its own call would return it, and go on', async () => {
    const full = new CoordinationError('exhausted', 'key: too many', 250);
    const { run, written } = trial({ a: full, b: new TypeError('secret'), c: hit });
    run('a', 'b', 'c');
    expect(written.find(({ key }) => key === 'a')?.result).toEqual({
      $case: 'error',
      value: { code: 8, message: 'key: too many', retryAfterMs: 250 },
    });
    expect(written.find(({ key }) => key === 'b')?.result).toMatchObject({
      value: { code: 13, message: expect.not.stringContaining('secret') },
    });
    expect(written.find(({ key }) => key === 'c')?.result?.$case).toBe('response');
  });

  it('wait for a slow reader', async () => {
    const { run, stream, written, drain } = trial({ a: hit, b: hit });
    stream.full = true;
    run('a', 'b');
    await settled();
    expect(written).toHaveLength(1);
    stream.full = false;
    drain();
    await settled();
    expect(written).toHaveLength(2);
  });

  it('that were not sent before the reader left are given back', async () => {
    const { run, stream, written, cancel, calls, givenBack, ended } = trial({
      a: hit,
      b: { outcome: lease, degraded: 'none' },
    });
    stream.full = true;
    run('a', 'b');
    await settled();
    cancel();
    await settled();
    expect(written).toHaveLength(1);
    expect(givenBack).toEqual(['b']);
    expect(calls.every(({ cancelled }) => cancelled)).toBe(true);
    expect(ended()).toBe(true);
  });

  it('that were not sent before the reader lost its rights are given back', async () => {
    let publish = (_answer: GetOrLockAnswer) => {};
    const late = new Promise<GetOrLockAnswer>((resolve) => {
      publish = resolve;
    });
    const leased: GetOrLockAnswer = { outcome: lease, degraded: 'none' };
    const { run, stream, written, revoke, drain, failures, givenBack } = trial({
      ...{ a: hit, b: leased, c: late, d: leased },
    });
    stream.full = true;
    run('a', 'b', 'c', 'd');
    revoke();
    publish(leased);
    await settled();
    expect(failures).toMatchObject([{ code: status.UNAUTHENTICATED }]);
    expect([...givenBack].sort()).toEqual(['b', 'c', 'd']);
    stream.full = false;
    drain();
    expect(written).toHaveLength(1);
  });

  it('are each traced as a call, below the call for all of them', async () => {
    const { run, traces } = trial({ a: hit, b: new CoordinationError('exhausted', 'key: too many', 250) });
    run('a', 'b');
    const [all, ...each] = traces;
    expect([all?.name, all?.statusCode]).toEqual(['dibs.v1.CoordinatorService/GetOrLockMany', status.OK]);
    expect(each.map(({ name, facts, statusCode }) => ({ name, facts, statusCode }))).toEqual([
      {
        name: 'dibs.v1.CoordinatorService/GetOrLock',
        facts: { outcome: 'hit', degraded: 'none' },
        statusCode: status.OK,
      },
      { name: 'dibs.v1.CoordinatorService/GetOrLock', facts: {}, statusCode: status.RESOURCE_EXHAUSTED },
    ]);
  });

  it('of a caller that has left are no failed calls, and their traces say CANCELLED', async () => {
    let leave = (_error: Error) => {};
    const waiting = new Promise<GetOrLockAnswer>((_resolve, reject) => {
      leave = reject;
    });
    const full = new CoordinationError('exhausted', 'key: too many', 250);
    const { run, cancel, failed, traces, ended } = trial({ a: waiting, b: full });
    run('a', 'b');
    cancel();
    leave(new CoordinationError('unavailable', 'the call was cancelled'));
    await settled();
    expect(failed).toEqual(['GetOrLockMany RESOURCE_EXHAUSTED']);
    expect(traces.map(({ statusCode }) => statusCode)).toEqual([
      status.CANCELLED,
      status.CANCELLED,
      status.RESOURCE_EXHAUSTED,
    ]);
    expect(ended()).toBe(true);
  });
});
