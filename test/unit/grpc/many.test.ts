import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Call } from '../../../src/coordination/call.js';
import { CoordinationError } from '../../../src/coordination/errors.js';
import { keyOf } from '../../../src/coordination/key.js';
import type { GetOrLockAnswer, Lease } from '../../../src/coordination/outcome.js';
import type { GetOrLock } from '../../../src/coordination/requests.js';
import type { GetOrLockManyResponse } from '../../../src/grpc/generated/dibs/v1/coordinator.js';
import { answerMany } from '../../../src/grpc/many.js';

const requests = (...keys: string[]): GetOrLock[] =>
  keys.map((key) => ({ key: keyOf('n', key), intent: 'rebuild', requestId: '', holder: '' }));
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
const lease: Lease = { kind: 'lease', token: 't', fence: 1, expiresInMs: 9, reason: 'miss', owner: 1 };

/** Answers by key: an answer, an error, or a promise of one. */
function trial(answers: Record<string, GetOrLockAnswer | Error | Promise<GetOrLockAnswer>>) {
  const written: GetOrLockManyResponse[] = [];
  const givenBack: string[] = [];
  let drained: (() => void) | undefined;
  let ended = false;
  const stream = {
    full: false,
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
  const calls: Call[] = [];
  const coordinator = {
    getOrLock: async ({ key }: GetOrLock, call: Call) => {
      calls.push(call);
      const answer = answers[key.key];
      if (answer instanceof Error) throw answer;
      return answer as GetOrLockAnswer;
    },
    giveBack: async ({ key }: { key: string }) => {
      givenBack.push(key);
    },
  };
  const call = new Call('me', 5_000, 'trace');
  const run = (...keys: string[]) =>
    answerMany(requests(...keys), call, stream, { coordinator, unexpected: () => {} });
  return { call, calls, run, stream, written, givenBack, drain: () => drained?.(), ended: () => ended };
}

describe('the answers to many keys', () => {
  it('come as they are known, one for each key, and then the end', async () => {
    let publish = (_answer: GetOrLockAnswer) => {};
    const late = new Promise<GetOrLockAnswer>((resolve) => {
      publish = resolve;
    });
    const { run, written, ended, calls } = trial({ a: late, b: hit, c: hit });
    const running = run('a', 'b', 'c');
    await sleep(1);
    expect(written.map(({ key }) => key)).toEqual(['b', 'c']);
    expect(ended()).toBe(false);
    publish(hit);
    await running;
    expect(written.map(({ key }) => key)).toEqual(['b', 'c', 'a']);
    expect(ended()).toBe(true);
    expect(calls.map(({ identity, traceparent }) => [identity, traceparent])).toEqual(
      Array(3).fill(['me', 'trace']),
    );
  });

  it('say of a key what its own call would have ended with, and go on', async () => {
    const full = new CoordinationError('exhausted', 'key: too many', 250);
    const { run, written } = trial({ a: full, b: new TypeError('a fault of ours'), c: hit });
    await run('a', 'b', 'c');
    expect(written.find(({ key }) => key === 'a')?.result).toEqual({
      $case: 'error',
      value: { code: 8, message: 'key: too many', retryAfterMs: 250 },
    });
    expect(written.find(({ key }) => key === 'b')?.result).toMatchObject({
      value: { code: 13, message: expect.not.stringContaining('fault of ours') },
    });
    expect(written.find(({ key }) => key === 'c')?.result?.$case).toBe('response');
  });

  it('wait for a reader that is slow', async () => {
    const { run, stream, written, drain } = trial({ a: hit, b: hit });
    stream.full = true;
    const running = run('a', 'b');
    await sleep(1);
    expect(written).toHaveLength(1);
    stream.full = false;
    drain();
    await running;
    expect(written).toHaveLength(2);
  });

  it('that were not sent when the reader goes away are given back', async () => {
    const { run, stream, written, call, calls, givenBack, ended } = trial({
      a: hit,
      b: { outcome: lease, degraded: 'none' },
    });
    stream.full = true;
    const running = run('a', 'b');
    await sleep(1);
    call.cancel();
    await running;
    expect(written).toHaveLength(1);
    expect(givenBack).toEqual(['b']);
    expect(calls.every(({ cancelled }) => cancelled)).toBe(true);
    expect(ended()).toBe(true);
  });
});
