import { type Metadata, Metadata as NewMetadata, status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import type { Call } from '../../../src/coordination/words/call.js';
import { CoordinationError } from '../../../src/coordination/words/errors.js';
import type { GetOrLockAnswer, Lease } from '../../../src/coordination/words/outcome.js';
import { defaultPolicy } from '../../../src/coordination/words/policy.js';
import type { Domain } from '../../../src/grpc/answer.js';
import { GetOrLockRequest } from '../../../src/grpc/generated/dibs/v1/coordinator.js';
import { coordinatorService } from '../../../src/grpc/service.js';
import { someLease } from '../../support/some-lease.js';
import { ToldTrace } from '../../support/told-trace.js';

const limits = {
  leaseMs: 10_000,
  leaseMsMin: 100,
  leaseMsMax: 60_000,
  waitMsMax: 30_000,
  valueBytesMax: 1_000,
  waitersPerKeyMax: 10,
  waitersMax: 100,
  storeTimeoutMs: 300,
  silenceMs: 2_000,
};
const lease: Lease = { ...someLease(), owner: 4 };
const leased: GetOrLockAnswer = { outcome: lease, degraded: 'none' };

/** A coordinator that answers with `getOrLock`, and records what is given back. */
function serviceOver(getOrLock: (call: Call) => Promise<GetOrLockAnswer>) {
  const givenBack: [string, Lease][] = [];
  const unexpected: unknown[] = [];
  const failed: string[] = [];
  const trace = new ToldTrace('the call');
  const notAsked = () => Promise.reject(new Error('not to be asked'));
  const coordinator: Domain = {
    getOrLockAtOnce: (_request, call, settled) => {
      getOrLock(call).then(settled, settled);
      return undefined;
    },
    watchLease: () => {},
    giveBack: async (key, lease) => {
      givenBack.push([key.key, lease]);
    },
    publish: notAsked,
    release: notAsked,
    extend: notAsked,
    takeOver: notAsked,
    invalidate: notAsked,
    explain: notAsked,
  };
  const edge = { coordinator, limits, policyOf: () => defaultPolicy(limits), holder: '', session: undefined };
  const service = coordinatorService(
    {
      ...edge,
      guard: undefined,
      tracing: { call: () => trace },
      pace: () => {},
      unexpected: (cause) => unexpected.push(cause),
      failed: (...it) => failed.push(it.join(' ')),
    },
    { serve: () => {} },
  );
  return { service, givenBack, unexpected, failed, trace };
}

interface Answer {
  error: { code: number; details: string; metadata: Metadata } | null;
  value: unknown;
}

/** Calls as grpc-js does: an answer is serialized only if the stream is still there. */
async function callUnary(
  { definition, implementation }: ReturnType<typeof coordinatorService>,
  method: string,
  request: object,
  transport: { deadline?: number; metadata?: Record<string, string>; closed?: () => boolean } = {},
): Promise<Answer & { cancel(): void }> {
  const listeners: (() => void)[] = [];
  const metadata = new NewMetadata();
  for (const [name, value] of Object.entries(transport.metadata ?? {})) metadata.set(name, value);
  const call = {
    request,
    cancelled: false,
    metadata,
    getDeadline: () => transport.deadline ?? Number.POSITIVE_INFINITY,
    on: (_event: string, listener: () => void) => listeners.push(listener),
  };
  const answer: Answer = { error: null, value: undefined };
  const done = (error: Answer['error'], value: unknown) => {
    if (transport.closed?.()) return;
    Object.assign(answer, { error, value });
    if (error === null) definition[method]?.responseSerialize(value);
  };
  const handler = implementation[method] as unknown as (call: object, done: object) => void;
  const cancel = () => {
    for (const listener of listeners) listener();
  };
  handler(call, done);
  if (transport.closed !== undefined) cancel();
  // One turn for the coordinator's promise, one before a lease.
  for (let turn = 0; turn < 2; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  return { ...answer, cancel };
}

const get = { ok: true, message: GetOrLockRequest.fromPartial({ key: 'k' }) };

describe('GetOrLock', () => {
  it('keeps a lease that was sent, even if the transport reports `cancelled` after the answer', async () => {
    const { service, givenBack } = serviceOver(async () => leased);
    const { value, cancel } = await callUnary(service, 'getOrLock', get);
    expect(value).toMatchObject({ outcome: { $case: 'lease' } });
    cancel();
    expect(givenBack).toEqual([]);
  });

  it('gives a lease back if its caller left before the answer was written', async () => {
    const { service, givenBack } = serviceOver(async () => leased);
    await callUnary(service, 'getOrLock', get, { closed: () => true });
    expect(givenBack).toEqual([['k', lease]]);
  });

  it('gives nothing back of another answer', async () => {
    const busy = { kind: 'busy', retryAfterMs: 1, holderAgeMs: 0, reason: 'no_value' } as const;
    const { service, givenBack } = serviceOver(async () => ({ outcome: busy, degraded: 'none' }));
    await callUnary(service, 'getOrLock', get, { closed: () => true });
    expect(givenBack).toEqual([]);
  });

  it('tells the coordinator when the caller leaves', async () => {
    let cancelled = false;
    const { service } = serviceOver(
      (call) =>
        new Promise((_resolve, reject) => {
          call.onCancel(() => {
            cancelled = call.cancelled;
            reject(new CoordinationError('unavailable', 'gone'));
          });
        }),
    );
    await callUnary(service, 'getOrLock', get, { closed: () => true });
    expect(cancelled).toBe(true);
  });

  it('passes on the remaining deadline and the traceparent', async () => {
    let seen: Call | undefined;
    const { service } = serviceOver(async (call) => {
      seen = call;
      return leased;
    });
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await callUnary(service, 'getOrLock', get, { deadline: Date.now() + 5_000, metadata: { traceparent } });
    expect(seen?.traceparent).toBe(traceparent);
    expect(seen?.deadlineMs).toBeGreaterThan(4_000);
    expect(seen?.deadlineMs).toBeLessThanOrEqual(5_000);
    await callUnary(service, 'getOrLock', get, { metadata: { traceparent: 'x'.repeat(5_000) } });
    expect(seen).toMatchObject({ traceparent: '', deadlineMs: Number.POSITIVE_INFINITY });
  });
});

describe('an error', () => {
  it('names the fault of a request', async () => {
    const { service } = serviceOver(async () => leased);
    const broken = { ok: false, fault: 'premature EOF' };
    expect((await callUnary(service, 'getOrLock', broken)).error).toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: 'request: its bytes cannot be decoded: premature EOF',
    });
    const empty = { ok: true, message: GetOrLockRequest.fromPartial({}) };
    expect((await callUnary(service, 'getOrLock', empty)).error).toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: 'key: 0 bytes is outside 1 to 1024',
    });
  });

  it('is INTERNAL if it is unexpected, with the cause in the log only', async () => {
    const cause = new Error('secret');
    const { service, unexpected } = serviceOver(() => Promise.reject(cause));
    const { error } = await callUnary(service, 'getOrLock', get);
    expect(error?.code).toBe(status.INTERNAL);
    expect(error?.details).not.toMatch('secret');
    expect(unexpected).toEqual([cause]);
  });
});

describe('a caller that leaves while it waits', () => {
  const leaving = (error: Error) => (call: Call) =>
    new Promise<GetOrLockAnswer>((_resolve, reject) => call.onCancel(() => reject(error)));

  it('is no failed call, and its trace says CANCELLED', async () => {
    const { service, failed, trace } = serviceOver(leaving(new CoordinationError('unavailable', 'gone')));
    await callUnary(service, 'getOrLock', get, { closed: () => true });
    expect(failed).toEqual([]);
    expect(trace.statusCode).toBe(status.CANCELLED);
  });

  it('does not hide an unexpected error from the log', async () => {
    const cause = new Error('unexpected');
    const { service, unexpected } = serviceOver(leaving(cause));
    await callUnary(service, 'getOrLock', get, { closed: () => true });
    expect(unexpected).toEqual([cause]);
  });

  it('is a failed call if it stays', async () => {
    const { service, failed, trace } = serviceOver(async () => {
      throw new CoordinationError('unavailable', 'nothing can decide');
    });
    await callUnary(service, 'getOrLock', get);
    expect(failed).toEqual(['GetOrLock UNAVAILABLE']);
    expect(trace.statusCode).toBe(status.UNAVAILABLE);
  });
});
