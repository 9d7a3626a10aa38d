import type { Background } from './background.js';
import type { Calls } from './calls.js';
import type { Chance } from './chance.js';
import { countLeaseLost, countRebuild, rebuildOutcomeOf } from './client-metrics.js';
import type { Clock } from './clock.js';
import { DibsError, isAnswer, isUnreachable, LeaseLostError } from './errors.js';
import { askedBackoffMs, failureMessage } from './failure-message.js';
import type { HeldLeases } from './held-leases.js';
import { type Hooks, tell } from './hooks.js';
import { LeaseKeeper } from './lease-keeper.js';
import { LightSignal, type SignalLike } from './light-signal.js';
import { checked } from './numbers.js';
import type { Lease, Published, ReleaseOutcome } from './outcomes.js';
import { pause } from './pause.js';
import type { RebuildSpan } from './rebuild-span.js';
import type { RunningRebuild } from './running-rebuilds.js';

/** How a rebuild stores this one value, instead of the options of its call. */
export interface HowStored {
  store: boolean;
  ttlMs?: number | undefined;
  staleMs?: number | undefined;
  tags?: readonly string[] | undefined;
}

/** The result of a rebuild: null if the source has nothing. */
export interface Made {
  readonly bytes: Uint8Array | null;
  readonly how: HowStored;
}

/** Rebuilds the bytes. */
export type RebuildBytes = (context: {
  readonly signal: AbortSignal;
  readonly fence: number;
  readonly reason: string;
  /** The previous value; null if the source had nothing, undefined if none is known. */
  readonly previous: Buffer | null | undefined;
}) => Promise<Made>;

/** One rebuild under one lease. */
export interface RebuildTerms {
  readonly namespace: string;
  readonly key: string;
  readonly lease: Lease;
  /** When the lease's request was sent. */
  readonly sentMs: number;
  readonly rebuild: RebuildBytes;
  readonly leaseMs: number | undefined;
  /** After this long the lease is no longer extended. */
  readonly leaseHoldMaxMs: number;
  readonly ttlMs: number;
  readonly absentTtlMs: number;
  readonly staleMs: number | undefined;
  readonly tags: readonly string[];
  /** Of this rebuild, which ends it. The calls that end the lease belong to it. */
  readonly span: RebuildSpan;
  /** Aborted when no caller waits any more; undefined if none waits from the beginning. */
  readonly signal: SignalLike | undefined;
  readonly hooks: Hooks;
  readonly held: HeldLeases;
  readonly background: Background;
  readonly clock: Clock;
  readonly chance: Chance;
  /** Called when a publish has ended, in any way. */
  readonly published: () => void;
  /** For the callers that join it. */
  readonly running: RunningRebuild;
}

export type Rebuilt =
  | { readonly kind: 'value'; readonly value: Uint8Array | null }
  /** The lease was lost before the rebuild ended: another caller may have the value by now. */
  | { readonly kind: 'lease_lost'; readonly error: LeaseLostError };

/** No longer than a rebuild that is worth a lease, because the caller already has its value or its error. */
const HAND_OVER_MS = 2_000;
const PUBLISH_AGAIN = 3;
const PUBLISH_PAUSE_MS = 100;

/**
 * Rebuilds and publishes the result. Rejects with the error of the rebuild, after the waiters were told. Its own caller
 * gets the result even if the publish fails. When the lease is lost, the rebuild is told, and its result is dropped.
 */
export async function rebuildUnderLease(calls: Calls, terms: RebuildTerms): Promise<Rebuilt> {
  const { span, running } = terms;
  try {
    return await rebuildInSpan(calls, terms);
  } catch (error) {
    span.failed(error);
    throw error;
  } finally {
    // Callers that joined it must not wait forever, however it ended.
    running.settle({ kind: 'ask_again' });
    span.end();
  }
}

async function rebuildInSpan(calls: Calls, terms: RebuildTerms): Promise<Rebuilt> {
  const { lease, sentMs, namespace, key, leaseMs, hooks, span, running } = terms;
  const { traceparent } = span;
  const over = new LightSignal();
  const left = () => {
    // It ends now. A caller that comes before the rebuild has noticed must not get the reason why others left.
    running.close();
    over.abort(terms.signal?.reason);
  };
  terms.signal?.addEventListener('abort', left, { once: true });
  if (terms.signal?.aborted) {
    // The lease was on its way when the last caller left.
    await giveUp(calls, terms, terms.signal.reason);
    throw terms.signal.reason;
  }
  let lose = (_: LeaseLostError) => {};
  const leaseLost = new Promise<LeaseLostError>((resolve) => {
    lose = resolve;
  });
  const keeper = new LeaseKeeper(
    (deadlineMs) =>
      calls.extend({ namespace, key, token: lease.token, leaseMs }, { deadlineMs, traceparent }),
    { sentMs, expiresInMs: lease.expiresInMs },
    () => {
      running.close();
      tell(hooks.onLeaseLost, { namespace, key });
      countLeaseLost(namespace);
      const error = new LeaseLostError();
      over.abort(error);
      lose(error);
    },
    terms.leaseHoldMaxMs,
    terms.clock,
  );
  const unwatch = terms.held.watch(lease.token, () => keeper.lose());
  let made: Made | LeaseLostError;
  try {
    const { fence, reason, previous } = lease;
    const facts = {
      get signal() {
        return over.real;
      },
      fence,
      reason,
      previous: previous?.value,
    };
    const rebuilding = span.run(() => terms.rebuild(facts));
    made = await Promise.race([leaseLost, rebuilding]);
  } catch (error) {
    if (!keeper.lost) {
      countRebuild('failed', namespace);
      running.close();
      const released = await giveUp(calls, terms, error);
      if (released === 'released') running.settle({ kind: 'failure', error });
      throw error;
    }
    made = await leaseLost;
  } finally {
    unwatch();
    keeper.stop();
  }
  if (!(made instanceof LeaseLostError)) {
    await handOver(calls, terms, made);
    return { kind: 'value', value: made.bytes };
  }
  span.failed(made);
  countRebuild('lost', namespace);
  // The service believes that it is held. Others need not wait until it expires.
  if (keeper.heldTooLong) terms.background.add(release(calls, terms, undefined));
  return { kind: 'lease_lost', error: made };
}

/** A failure belongs to all callers. If the callers have left, that is not a failure, and others may try at once. */
function giveUp(calls: Calls, terms: RebuildTerms, error: unknown): Promise<ReleaseOutcome | undefined> {
  const failure = terms.signal?.aborted
    ? undefined
    : { message: failureMessage(error), retryAfterMs: askedBackoffMs(error) };
  return release(calls, terms, failure);
}

async function release(
  calls: Calls,
  { namespace, key, lease, span, hooks }: RebuildTerms,
  failure: { readonly message: string; readonly retryAfterMs: number | undefined } | undefined,
): Promise<ReleaseOutcome | undefined> {
  try {
    const request = { namespace, key, token: lease.token, failure };
    return await calls.release(request, { deadlineMs: HAND_OVER_MS, traceparent: span.traceparent });
  } catch (error) {
    // The lease expires by itself. The error that counts is the rebuild's.
    tell(hooks.onBackgroundError, { namespace, key, error });
    return undefined;
  }
}

/** The caller has its value in any case. A fault of the service is retried in the background. */
async function handOver(calls: Calls, terms: RebuildTerms, { bytes, how }: Made): Promise<void> {
  const { namespace, key, hooks, span, running, background } = terms;
  running.close();
  if (!how.store) {
    countRebuild('not_stored', namespace);
    await release(calls, terms, undefined);
    return;
  }
  let value = bytes;
  const publish = async () => {
    const { token } = terms.lease;
    const { ttlMs, staleMs, tags } = storingOf(terms, bytes, how);
    const published = await calls
      .publish(
        { namespace, key, token, value, ttlMs, staleMs, tags },
        { deadlineMs: HAND_OVER_MS, traceparent: span.traceparent },
      )
      .finally(terms.published);
    span.published(published.outcome);
    if (hooks.onPublish !== undefined) tell(hooks.onPublish, { namespace, key, ...published });
    countRebuild(rebuildOutcomeOf(published.outcome), namespace);
    return published;
  };
  const refused = async (error: unknown) => {
    countRebuild('not_stored', namespace);
    tell(hooks.onNotStorable, { namespace, key, error });
    await release(calls, terms, { message: failureMessage(error), retryAfterMs: undefined });
  };
  try {
    if (countsForAll(await publish())) running.settle({ kind: 'value', value: bytes });
  } catch (error) {
    if (error instanceof DibsError && mayPublishAgain(error)) {
      // A copy, because the caller may change what it got.
      value = bytes && Buffer.from(bytes);
      // Safe to repeat: a publish that was already stored answers `duplicate`.
      background.add(
        publishAgain(terms, publish, error).catch(async (failed) => {
          if (!(failed instanceof DibsError) || !mayPublishAgain(failed)) return refused(failed);
          countRebuild('not_stored', namespace);
          tell(hooks.onBackgroundError, { namespace, key, error: failed });
          // Without an answer, it may be stored.
          if (!isUnreachable(failed)) await release(calls, terms, undefined);
        }),
      );
      return;
    }
    await refused(error);
  }
}

/** The options of the rebuild for its value, else those of the call. Throws for a value that cannot be stored so. */
function storingOf(
  { ttlMs, absentTtlMs, staleMs, tags }: RebuildTerms,
  bytes: Uint8Array | null,
  how: HowStored,
) {
  const asked = { ttlMs: bytes === null ? absentTtlMs : ttlMs, staleMs, tags };
  return checked({
    ttlMs: how.ttlMs ?? asked.ttlMs,
    staleMs: how.staleMs ?? asked.staleMs,
    tags: how.tags ?? asked.tags,
  });
}

/** Only then may callers have it that came during the rebuild: nothing was invalidated since the lease. */
function countsForAll({ outcome, counts }: Published): boolean {
  return counts === true && (outcome === 'stored' || outcome === 'stored_late' || outcome === 'duplicate');
}

async function publishAgain(
  { clock, chance, lease }: RebuildTerms,
  publish: () => Promise<unknown>,
  first: DibsError,
): Promise<void> {
  const untilMs = clock.nowMs() + lease.expiresInMs;
  let error = first;
  for (let time = 0; time < PUBLISH_AGAIN; time += 1) {
    // Another caller has the lease by then.
    if (clock.nowMs() + (error.retryAfterMs ?? 0) > untilMs) throw error;
    const backOffMs = PUBLISH_PAUSE_MS * 2 ** time * (0.5 + chance.fraction());
    await pause(clock, error.retryAfterMs ?? backOffMs);
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

/** Its result is unknown, the service says when to retry, or there was no token at that moment. */
export function mayPublishAgain(error: DibsError): boolean {
  const hadNoToken = error.code === 'UNAUTHENTICATED' && !isAnswer(error);
  return isUnreachable(error) || error.retryAfterMs !== undefined || hadNoToken;
}
