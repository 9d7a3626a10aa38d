import { type Calls, isUnreachable } from './calls.js';
import { DibsError, LeaseLostError } from './errors.js';
import { failureMessage } from './failure-message.js';
import type { HeldLeases } from './held-leases.js';
import { type Hooks, tell } from './hooks.js';
import { LeaseKeeper } from './lease-keeper.js';
import type { Lease } from './outcomes.js';
import { pause } from './pause.js';
import { RebuildSpan } from './rebuild-span.js';

/** Makes the bytes anew; null where the source has nothing. */
export type RebuildBytes = (context: {
  readonly signal: AbortSignal;
  readonly fence: number;
  readonly reason: string;
  /** The value before; null where the source had nothing, undefined where none is known. */
  readonly previous: Buffer | null | undefined;
}) => Promise<Uint8Array | null>;

/** One rebuild under one lease. */
export interface RebuildTerms {
  readonly namespace: string;
  readonly key: string;
  readonly lease: Lease;
  readonly rebuild: RebuildBytes;
  readonly leaseMs: number | undefined;
  readonly ttlMs: number;
  readonly absentTtlMs: number;
  readonly staleMs: number | undefined;
  readonly tags: readonly string[];
  readonly traceparent: string | undefined;
  /** Aborted when nobody waits any more; undefined where nobody waits from the beginning. */
  readonly signal: AbortSignal | undefined;
  readonly hooks: Hooks;
  readonly held: HeldLeases;
}

export type Rebuilt =
  | { readonly kind: 'value'; readonly value: Uint8Array | null }
  /** The rebuild gave up, with `error`, because its lease was lost: somebody else may have the value by now. */
  | { readonly kind: 'lease_lost'; readonly error: unknown };

/** Shorter than a rebuild that is worth a lease: nobody waits longer for what they have already. */
const PUBLISH_MS = 2_000;
const PUBLISH_AGAIN = 3;
const PUBLISH_PAUSE_MS = 100;

/**
 * Rebuilds and hands the result over. Rejects with what the rebuild threw, after the waiters were told. The
 * result counts for its own caller whatever became of the publish.
 */
export async function rebuildUnderLease(calls: Calls, asked: RebuildTerms): Promise<Rebuilt> {
  const { namespace, lease } = asked;
  const span = new RebuildSpan({ namespace, reason: lease.reason, fence: lease.fence }, asked.traceparent);
  try {
    return await rebuildInSpan(calls, { ...asked, traceparent: span.traceparent }, span);
  } catch (error) {
    span.failed(error);
    throw error;
  } finally {
    span.end();
  }
}

async function rebuildInSpan(calls: Calls, terms: RebuildTerms, span: RebuildSpan): Promise<Rebuilt> {
  const { lease, namespace, key, leaseMs, hooks, traceparent } = terms;
  if (terms.signal?.aborted) {
    // The lease was on its way when the last caller left.
    await giveUp(calls, terms, terms.signal.reason);
    throw terms.signal.reason;
  }
  const lost = new AbortController();
  const keeper = new LeaseKeeper(
    (deadlineMs) =>
      calls.extend({ namespace, key, token: lease.token, leaseMs }, { deadlineMs, traceparent }),
    lease.expiresInMs,
    () => {
      tell(hooks.onLeaseLost, { namespace, key });
      lost.abort(new LeaseLostError());
    },
  );
  const signal = terms.signal === undefined ? lost.signal : AbortSignal.any([lost.signal, terms.signal]);
  const unwatch = terms.held.watch(lease.token, () => keeper.lose());
  let value: Uint8Array | null;
  try {
    const { fence, reason, previous } = lease;
    value = await span.run(() => terms.rebuild({ signal, fence, reason, previous: previous?.value }));
  } catch (error) {
    unwatch();
    keeper.stop();
    if (keeper.lost) {
      span.failed(error);
      return { kind: 'lease_lost', error };
    }
    await giveUp(calls, terms, error);
    throw error;
  }
  unwatch();
  keeper.stop();
  await handOver(calls, terms, value, span);
  return { kind: 'value', value };
}

/** A failure is everybody's; that the callers have gone is not one, and somebody else may try at once. */
async function giveUp(calls: Calls, terms: RebuildTerms, error: unknown): Promise<void> {
  const { namespace, key, lease, signal, traceparent } = terms;
  const failure = signal?.aborted
    ? undefined
    : { message: failureMessage(error), retryAfterMs: askedBackoffMs(error) };
  try {
    await calls.release({ namespace, key, token: lease.token, failure }, { traceparent });
  } catch (failed) {
    // The lease ends with its time; the error that counts is the rebuild's.
    tell(terms.hooks.onBackgroundError, { namespace, key, error: failed });
  }
}

/** An error may say how long the source should be left alone, in milliseconds up to 300000. */
function askedBackoffMs(error: unknown): number | undefined {
  const ms: unknown = error instanceof Error && 'retryAfterMs' in error ? error.retryAfterMs : undefined;
  return typeof ms === 'number' && Number.isInteger(ms) && ms >= 0 && ms <= 300_000 ? ms : undefined;
}

/** A fault of the caller's, such as a value beyond the bound, is thrown; anything else is tried again behind. */
async function handOver(
  calls: Calls,
  terms: RebuildTerms,
  value: Uint8Array | null,
  span: RebuildSpan,
): Promise<void> {
  const { namespace, key, lease, staleMs, tags, traceparent, hooks } = terms;
  const ttlMs = value === null ? terms.absentTtlMs : terms.ttlMs;
  const publish = async () => {
    const published = await calls.publish(
      { namespace, key, token: lease.token, value, ttlMs, staleMs, tags },
      { deadlineMs: PUBLISH_MS, traceparent },
    );
    span.published(published.outcome);
    tell(hooks.onPublish, { namespace, key, ...published });
  };
  try {
    await publish();
  } catch (error) {
    if (!(error instanceof DibsError)) throw error;
    if (!mayPublishAgain(error)) {
      await giveUp(calls, terms, error);
      throw error;
    }
    // Safe to repeat: one that was stored already is answered with `duplicate`.
    void publishAgain(publish, error).catch((failed) =>
      tell(hooks.onBackgroundError, { namespace, key, error: failed }),
    );
  }
}

async function publishAgain(publish: () => Promise<unknown>, first: DibsError): Promise<void> {
  let error = first;
  for (let time = 0; time < PUBLISH_AGAIN; time += 1) {
    await pause(error.retryAfterMs ?? PUBLISH_PAUSE_MS * 2 ** time * (0.5 + Math.random()));
    try {
      await publish();
      return;
    } catch (again) {
      if (!(again instanceof DibsError) || !mayPublishAgain(again)) throw again;
      error = again;
    }
  }
  throw error;
}

function mayPublishAgain(error: DibsError): boolean {
  return isUnreachable(error) || error.retryAfterMs !== undefined;
}
