import { describe, expect, it } from 'vitest';
import type { Call } from '../../../../src/coordination/words/call.js';
import { keyOf } from '../../../../src/coordination/words/key.js';
import type {
  ExtendAnswer,
  GetOrLockAnswer,
  Lease,
  LeaseEnd,
} from '../../../../src/coordination/words/outcome.js';
import { defaultPolicy } from '../../../../src/coordination/words/policy.js';
import type { Edge } from '../../../../src/grpc/answer.js';
import {
  ExtendRequest,
  GetOrLockRequest,
  PublishRequest,
  ReleaseRequest,
  type SessionResponse,
} from '../../../../src/grpc/generated/dibs/v1/coordinator.js';
import { Outbox } from '../../../../src/grpc/session/outbox.js';
import { Session } from '../../../../src/grpc/session/session.js';
import { encodeToken } from '../../../../src/grpc/token.js';
import { LIMITS } from '../../../support/coordination-trial.js';
import { settled } from '../../../support/settled.js';
import { someLease } from '../../../support/some-lease.js';

const lease = someLease('me');
const token = encodeToken(keyOf('default', 'k'), lease.token);
const extend = { $case: 'extend', value: ExtendRequest.fromPartial({ key: 'k', token }) } as const;
const get = { $case: 'getOrLock', value: GetOrLockRequest.fromPartial({ key: 'k' }) } as const;

function trial(before: () => Promise<Lease | undefined> = async () => undefined) {
  const messages: SessionResponse[] = [];
  const givenBack: [string, string][] = [];
  const calls: Call[] = [];
  let ended = (_end: LeaseEnd) => {};
  const notAsked = () => Promise.reject(new Error('not to be asked'));
  const coordinator = {
    getOrLock: async (_request: unknown, call: Call) => {
      calls.push(call);
      const another = await before();
      return { outcome: another ?? lease, degraded: 'none' } as const;
    },
    getOrLockAtOnce: (request: unknown, call: Call, settled: (answer: GetOrLockAnswer | Error) => void) => {
      coordinator.getOrLock(request, call).then(settled, settled);
      return undefined;
    },
    giveBack: async (key: { key: string }, _lease: Lease, end: LeaseEnd = 'cancelled') => {
      givenBack.push([key.key, end]);
    },
    watchLease: (_lease: Lease, listener: (end: LeaseEnd) => void) => {
      ended = listener;
    },
    release: async () => 'released' as const,
    extend: async () => ({ outcome: 'extended', expiresInMs: 1_000 }) as const,
    takeOver: async (_request: unknown, answer: ExtendAnswer) => ({
      answer,
      taken: (await before()) ?? lease,
    }),
    ...{ publish: notAsked, invalidate: notAsked, explain: notAsked },
  };
  const edge: Edge = {
    ...{ coordinator, limits: LIMITS, policyOf: () => defaultPolicy(LIMITS), holder: '', session: undefined },
    ...{ guard: undefined, tracing: undefined, pace: () => {}, unexpected: () => {}, failed: () => {} },
  };
  const session = new Session(edge, 'me', 'holder');
  const stream = {
    full: false,
    drained: () => {},
    write(message: SessionResponse) {
      messages.push(message);
      return !stream.full;
    },
    once: (_event: 'drain', listener: () => void) => {
      stream.drained = listener;
    },
  };
  const holding: boolean[] = [];
  const outbox = new Outbox(stream, (held) => holding.push(held));
  session.attach(outbox);
  const ask = (id: number, request: Parameters<Session['receive']>[1]['request'] = get) =>
    session.receive(0, { id, deadlineMs: 500, traceparent: TRACEPARENT, request });
  const replies = () => messages.flatMap((message) => message.replies);
  return { session, ask, messages, replies, givenBack, calls, stream, outbox, holding, end: () => ended };
}

const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

describe('a session', () => {
  it('gives back the leases that it holds when it ends, once', async () => {
    const { session, ask, givenBack, calls } = trial();
    ask(1);
    await settled();
    expect(session.leases).toBe(1);
    expect(calls[0]).toMatchObject({ identity: 'me', deadlineMs: 500, traceparent: TRACEPARENT });
    await session.end();
    await session.end();
    expect(givenBack).toEqual([['k', 'session_lost']]);
  });

  it('does not give back a lease that its client has released', async () => {
    const { session, ask, givenBack } = trial();
    ask(1);
    await settled();
    ask(2, { $case: 'release', value: ReleaseRequest.fromPartial({ key: 'k', token }) });
    await settled();
    await session.end();
    expect(givenBack).toEqual([]);
  });

  it('keeps the lease of an answered call when a later call with its id is cancelled', async () => {
    let isFirst = true;
    const { session, ask, givenBack, calls } = trial(async () => {
      if (!isFirst) await new Promise(() => {});
      isFirst = false;
      return undefined;
    });
    ask(1);
    await settled();
    ask(1);
    session.cancel(1);
    await settled();
    expect(calls.map(({ cancelled }) => cancelled)).toEqual([false, true]);
    expect(givenBack).toEqual([]);
    expect(session.leases).toBe(1);
  });

  it('gives back the lease of a cancelled call although an earlier one with its id has ended', async () => {
    const other: Lease = { ...lease, token: { ...lease.token, nonce: 'another' } };
    const leases = [lease, other];
    const { session, ask, givenBack } = trial(async () => leases.shift());
    ask(1);
    await settled();
    ask(1);
    await settled();
    ask(2, { $case: 'release', value: ReleaseRequest.fromPartial({ key: 'k', token }) });
    await settled();
    session.cancel(1);
    await settled();
    expect(givenBack).toEqual([['k', 'cancelled']]);
    expect(session.leases).toBe(0);
  });

  it.each([
    ['publish', { $case: 'publish', value: PublishRequest.fromPartial({ key: 'k', token }) }],
    ['release', { $case: 'release', value: ReleaseRequest.fromPartial({ key: '', token }) }],
  ] as const)('gives back at its end a lease whose %s was refused', async (_what, request) => {
    const { session, ask, givenBack, replies } = trial();
    ask(1);
    await settled();
    ask(2, request);
    await settled();
    expect(replies().at(-1)?.response?.$case).toBe('error');
    await session.end();
    expect(givenBack).toEqual([['k', 'session_lost']]);
  });

  it('gives back at once a lease that came after its call was cancelled, without a reply', async () => {
    let grant = () => {};
    const granted = new Promise<void>((resolve) => {
      grant = resolve;
    });
    const { session, ask, givenBack, replies } = trial(() => granted.then(() => undefined));
    ask(1);
    session.cancel(1);
    grant();
    await settled();
    expect(givenBack).toEqual([['k', 'cancelled']]);
    expect([session.leases, replies()]).toEqual([0, []]);
  });

  it('gives back a lease whose call was cancelled after its answer was sent', async () => {
    const { session, ask, givenBack, replies } = trial();
    ask(1);
    await settled();
    expect(replies()).toHaveLength(1);
    session.cancel(1);
    session.cancel(1);
    expect(givenBack).toEqual([['k', 'cancelled']]);
    expect(session.leases).toBe(0);
    ask(2);
    await settled();
    ask(3, { $case: 'release', value: ReleaseRequest.fromPartial({ key: 'k', token }) });
    session.cancel(2);
    await session.end();
    expect(givenBack).toHaveLength(1);
  });

  it('keeps a lease that a retry got again when the call before is cancelled late', async () => {
    const again: Lease = { ...lease, owner: lease.owner + 1 };
    const leases = [lease, again];
    const { session, ask, givenBack } = trial(async () => leases.shift());
    ask(1);
    await settled();
    ask(2);
    await settled();
    session.cancel(1);
    await settled();
    expect(givenBack).toEqual([]);
    expect(session.leases).toBe(1);
    session.cancel(2);
    await settled();
    expect(givenBack).toEqual([['k', 'cancelled']]);
  });

  it('lets the stream that resumes it use the ids of calls that the broken one has left', async () => {
    const answers: ((lease: undefined) => void)[] = [];
    const { session, ask, outbox, replies, givenBack, calls } = trial(
      () => new Promise((resolve) => answers.push(resolve)),
    );
    ask(1);
    session.attach(undefined);
    session.cancelAll();
    session.attach(outbox);
    ask(1);
    // The answer to the first call ends neither the second one nor its id.
    answers[0]?.(undefined);
    await settled();
    expect([givenBack, replies()]).toEqual([[['k', 'cancelled']], []]);
    session.cancel(1);
    expect(calls.map(({ cancelled }) => cancelled)).toEqual([true, true]);
    answers[1]?.(undefined);
    await session.idle();
    expect(givenBack).toHaveLength(2);
  });

  it('does not take over its own lease, also if that is released during its extension', async () => {
    const { session, ask } = trial();
    ask(1);
    await settled();
    ask(2, extend);
    ask(3, { $case: 'release', value: ReleaseRequest.fromPartial({ key: 'k', token }) });
    await settled();
    expect(session.leases).toBe(0);
  });

  it('keeps a lease that it takes over, also if the extension is cancelled meanwhile', async () => {
    const { session, ask, replies, givenBack } = trial();
    ask(1, extend);
    session.cancel(1);
    await settled();
    expect([givenBack, replies(), session.leases]).toEqual([[], [], 1]);
    await session.end();
    expect(givenBack).toEqual([['k', 'session_lost']]);
  });

  it('keeps a lease that it takes over while its stream breaks, for the client that resumes it', async () => {
    const { session, ask, givenBack } = trial();
    ask(1, extend);
    session.attach(undefined);
    session.cancelAll();
    await settled();
    expect([givenBack, session.leases]).toEqual([[], 1]);
  });

  it('gives back a lease that it takes over when it has ended', async () => {
    const { session, ask, givenBack } = trial();
    ask(1, extend);
    session.attach(undefined);
    await session.end();
    await settled();
    expect([givenBack, session.leases]).toEqual([[['k', 'session_lost']], 0]);
  });

  it('reports a lost lease, and forgets it', async () => {
    const { session, ask, end, messages, givenBack } = trial();
    ask(1);
    await settled();
    end()('invalidated');
    await settled();
    expect(messages.flatMap(({ events }) => events)).toMatchObject([
      { event: { $case: 'leaseLost', value: { key: keyOf('default', 'k').key, token } } },
    ]);
    await session.end();
    expect(givenBack).toEqual([]);
  });

  it('reports a lease that was lost while its stream was broken, once it is resumed', async () => {
    const { session, ask, messages, outbox, end } = trial();
    ask(1);
    await settled();
    session.attach(undefined);
    end()('invalidated');
    session.attach(outbox);
    await settled();
    const events = messages.flatMap((message) => message.events);
    expect(events).toMatchObject([{ event: { $case: 'leaseLost', value: { key: 'k', token } } }]);
    session.attach(undefined);
    session.attach(outbox);
    await settled();
    expect(messages.flatMap((message) => message.events)).toHaveLength(1);
  });

  it('is idle once every call has been answered', async () => {
    const { session, ask, replies } = trial(() => settled().then(() => undefined));
    await session.idle();
    ask(1);
    ask(2);
    await session.idle();
    await settled();
    expect(replies().map(({ id }) => id)).toEqual([1, 2]);
  });
});

describe('the messages of a session', () => {
  const reply = (id: number, bytes = 0) => ({
    ...{ id, more: false },
    response: {
      $case: 'getOrLock',
      value: {
        outcome: {
          $case: 'hit',
          value: {
            payload: { $case: 'value', value: new Uint8Array(bytes) },
            ...{ freshness: 1, freshForMs: 1, fence: 1, rebuilding: false },
          },
        },
        degraded: 1,
      },
    } as const,
  });

  it('combine replies, up to the size that one message may have', async () => {
    const { outbox, messages } = trial();
    for (let id = 1; id <= 10; id += 1) outbox.reply(reply(id), 0);
    await settled();
    expect(messages).toHaveLength(1);
    for (let id = 1; id <= 3; id += 1) outbox.reply(reply(id, 600_000), 600_000);
    outbox.reply(reply(4, 5_000_000), 5_000_000);
    await settled();
    expect(messages.slice(1).map(({ replies }) => replies.length)).toEqual([1, 1, 1, 1]);
  });

  it('wait for a slow reader, and stop the reading of its calls meanwhile', async () => {
    const { outbox, messages, stream, holding } = trial();
    stream.full = true;
    outbox.reply(reply(1), 0);
    await settled();
    outbox.reply(reply(2), 0);
    const flushed = outbox.flushed();
    await settled();
    expect([messages.length, holding]).toEqual([1, [true]]);
    stream.full = false;
    stream.drained();
    await flushed;
    expect([messages.length, holding]).toEqual([2, [true, false]]);
  });
});
