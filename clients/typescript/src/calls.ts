import { types } from 'node:util';
import { callErrorOf, DibsError } from './errors.js';
import {
  ExplainRequest,
  ExtendRequest,
  type GetOrLockManyRequest,
  type GetOrLockRequest,
  Intent,
  InvalidateMode,
  InvalidateRequest,
  type PublishRequest,
  Read,
  ReleaseRequest,
  Stale,
} from './generated/dibs/v1/coordinator.js';
import type { SignalLike } from './light-signal.js';
import { checkText, checkTexts, checkWord, sendable, TIMER_MS_MAX } from './numbers.js';
import {
  type Explanation,
  type ExtendOutcome,
  explanation,
  extendOutcome,
  type GetOrLockOutcome,
  getOrLockOutcome,
  type Published,
  publishOutcome,
  type ReleaseOutcome,
  releaseOutcome,
} from './outcomes.js';
import { currentTraceparent } from './rebuild-span.js';
import type { CallTerms, Transport } from './transport.js';

/** The options of every call. */
export interface CallOptions {
  /** How long to wait for the reply, in milliseconds. Default: 5000; for GetOrLock `waitMs` plus 2000. */
  readonly deadlineMs?: number | undefined;
  readonly signal?: SignalLike | undefined;
  /** The W3C traceparent to pass on. Default: that of OpenTelemetry's current span. */
  readonly traceparent?: string | undefined;
}

/** A key, in the client's namespace unless it names one. */
export interface Keyed {
  readonly namespace?: string | undefined;
  readonly key: string;
}

export interface GetOrLock extends Keyed {
  readonly intent?: 'rebuild' | 'read' | 'refresh' | undefined;
  readonly waitMs?: number | undefined;
  readonly leaseMs?: number | undefined;
  readonly stale?: 'allow' | 'forbid' | undefined;
  readonly read?: 'near' | 'store' | undefined;
  readonly requestId?: string | undefined;
  readonly holder?: string | undefined;
}

/** The same options for each of up to 1000 keys. */
export interface GetOrLockMany extends Omit<GetOrLock, 'key'> {
  readonly keys: readonly string[];
}

/** The result for one of many keys: its outcome, or the error that a call for it alone would have. */
export type KeyedOutcome =
  | { readonly key: string; readonly outcome: GetOrLockOutcome }
  | { readonly key: string; readonly error: DibsError };

export interface Publish extends Keyed {
  readonly token: string;
  /** null: the source has nothing. */
  readonly value: Uint8Array | null;
  readonly ttlMs: number;
  readonly staleMs?: number | undefined;
  readonly tags?: readonly string[] | undefined;
}

export interface Release extends Keyed {
  readonly token: string;
  readonly failure?: { readonly message: string; readonly retryAfterMs?: number | undefined } | undefined;
}

export interface Extend extends Keyed {
  readonly token: string;
  readonly leaseMs?: number | undefined;
}

export interface Invalidate {
  readonly namespace?: string | undefined;
  readonly keys?: readonly string[] | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly all?: boolean | undefined;
  readonly mode?: 'delete' | 'mark_stale' | undefined;
}

/** Long enough for a service that fails over, short enough that no caller hangs on it. */
const DEADLINE_MS = 5_000;
/** What a timer can count, in whole seconds: gRPC tells a server so long a time in seconds, and rounds up. */
const DEADLINE_MS_MAX = Math.floor(TIMER_MS_MAX / 1_000) * 1_000;
/** For a key that the service left out. */
const NO_RESULT = { code: 2, message: 'neither outcome nor error' };
/** What the answer to a wait may take on its way, in addition to the wait. */
export const WAY_MS = 2_000;
const WAIT_MS = 30_000;
/** The contract's bound for one call. */
export const KEYS_MAX = 1_000;
const TAGS_MAX = 16;

const INTENTS = {
  rebuild: Intent.INTENT_REBUILD,
  read: Intent.INTENT_READ,
  refresh: Intent.INTENT_REFRESH,
};
const STALES = { allow: Stale.STALE_ALLOW, forbid: Stale.STALE_FORBID };
const READS = { near: Read.READ_NEAR, store: Read.READ_STORE };
const INTENT_WORDS = Object.keys(INTENTS);
const STALE_WORDS = Object.keys(STALES);
const READ_WORDS = Object.keys(READS);
const MODES = {
  delete: InvalidateMode.INVALIDATE_MODE_DELETE,
  mark_stale: InvalidateMode.INVALIDATE_MODE_MARK_STALE,
};

/** The plain calls, with typed outcomes. Each makes exactly one attempt and rejects with a {@link DibsError}. */
export class Calls {
  constructor(
    private readonly transport: Transport,
    private readonly defaults: { readonly namespace: string; readonly holder: string },
  ) {}

  getOrLock(request: GetOrLock, options: CallOptions = {}): Promise<GetOrLockOutcome> {
    try {
      checkText('key', request.key);
      const message: GetOrLockRequest = this.#asked(request, request.key);
      const terms = withWait(request, options);
      const { transport } = this;
      if (transport.askGetOrLock === undefined)
        return transport.getOrLock(message, terms).then(getOrLockOutcome);
      return new Promise((resolve, reject) => {
        transport.askGetOrLock?.(message, terms, (response) => resolve(getOrLockOutcome(response)), reject);
      });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** The outcome of each key as it becomes known: immediate ones first, then each wait as it ends. */
  async *getOrLockMany(request: GetOrLockMany, options: CallOptions = {}): AsyncGenerator<KeyedOutcome> {
    checkTexts('keys', request.keys);
    const message: GetOrLockManyRequest = { ...this.#asked(request, ''), keys: [...request.keys] };
    for await (const { key, result } of this.transport.getOrLockMany(message, withWait(request, options))) {
      if (result?.$case === 'response') yield { key, outcome: getOrLockOutcome(result.value) };
      else yield { key, error: callErrorOf(result?.value ?? NO_RESULT) };
    }
  }

  /** The keys that different replicas have, apart from each other. */
  groupsOf(keys: readonly string[]): readonly (readonly string[])[] {
    return this.transport.groupsOf?.(keys) ?? [keys];
  }

  async explain(of: string | Keyed, options: CallOptions = {}): Promise<Explanation> {
    const request: Keyed = typeof of === 'string' ? { key: of } : of;
    checkText('key', request.key);
    const message = ExplainRequest.fromPartial({
      namespace: request.namespace ?? this.defaults.namespace,
      key: request.key,
    });
    return explanation(await this.transport.explain(message, bounded(options)));
  }

  async publish(request: Publish, options: CallOptions = {}): Promise<Published> {
    const { value, tags = [] } = request;
    checkText('key', request.key);
    checkTexts('tags', tags);
    if (value !== null && !types.isUint8Array(value)) {
      throw new DibsError('INVALID_ARGUMENT', 'value: is neither a Uint8Array nor null');
    }
    // Not through fromPartial, which would take the bytes apart.
    const message: PublishRequest = {
      namespace: request.namespace ?? this.defaults.namespace,
      key: request.key,
      token: request.token,
      ttlMs: sendable('ttlMs', request.ttlMs),
      staleMs: sendable('staleMs', request.staleMs),
      tags: [...tags],
      payload: value === null ? { $case: 'absent', value: true } : { $case: 'value', value },
    };
    const { outcome, fence, counts, maybeStored } = await this.transport.publish(message, bounded(options));
    return { outcome: publishOutcome(outcome), fence, counts, maybeStored };
  }

  /** Written out, because a hit costs little more than a few spreads would. */
  #asked(request: Omit<GetOrLock, 'key'>, key: string): GetOrLockRequest {
    const { intent = 'rebuild', stale, read } = request;
    checkWord('intent', intent, INTENT_WORDS);
    checkWord('stale', stale, STALE_WORDS);
    checkWord('read', read, READ_WORDS);
    return {
      namespace: request.namespace ?? this.defaults.namespace,
      key,
      waitMs: sendable('waitMs', request.waitMs),
      leaseMs: sendable('leaseMs', request.leaseMs),
      intent: INTENTS[intent],
      stale: stale === undefined ? Stale.STALE_UNSPECIFIED : STALES[stale],
      read: read === undefined ? Read.READ_UNSPECIFIED : READS[read],
      requestId: request.requestId ?? '',
      holder: request.holder ?? this.defaults.holder,
    };
  }

  async release(request: Release, options: CallOptions = {}): Promise<ReleaseOutcome> {
    checkText('key', request.key);
    const { failure } = request;
    const message = ReleaseRequest.fromPartial({
      ...request,
      failure: failure && {
        ...failure,
        retryAfterMs: sendable('failure.retryAfterMs', failure.retryAfterMs),
      },
      namespace: request.namespace ?? this.defaults.namespace,
    });
    return releaseOutcome((await this.transport.release(message, bounded(options))).outcome);
  }

  async extend(
    request: Extend,
    options: CallOptions = {},
  ): Promise<{ outcome: ExtendOutcome; expiresInMs: number }> {
    checkText('key', request.key);
    const message = ExtendRequest.fromPartial({
      ...request,
      leaseMs: sendable('leaseMs', request.leaseMs),
      namespace: request.namespace ?? this.defaults.namespace,
    });
    const { outcome, expiresInMs } = await this.transport.extend(message, bounded(options));
    return { outcome: extendOutcome(outcome), expiresInMs };
  }

  /** Commit to the source first, then invalidate. Accepts any number of keys and sends 1000 at a time. */
  async invalidate(
    request: Invalidate,
    options: CallOptions = {},
  ): Promise<{ keysInvalidated: number; leasesVoided: number }> {
    const { keys = [], tags = [], all = false } = request;
    checkInvalidate({ keys, tags, mode: request.mode });
    const sum = { keysInvalidated: 0, leasesVoided: 0 };
    const calls = Math.max(Math.ceil(keys.length / KEYS_MAX), Math.ceil(tags.length / TAGS_MAX), all ? 1 : 0);
    for (let at = 0; at < calls; at += 1) {
      const message = InvalidateRequest.fromPartial({
        namespace: request.namespace ?? this.defaults.namespace,
        keys: keys.slice(at * KEYS_MAX, (at + 1) * KEYS_MAX),
        tags: tags.slice(at * TAGS_MAX, (at + 1) * TAGS_MAX),
        all: all && at === 0,
        mode: MODES[request.mode ?? 'delete'],
      });
      const { keysInvalidated, leasesVoided } = await this.transport.invalidate(message, bounded(options));
      sum.keysInvalidated += keysInvalidated;
      sum.leasesVoided += leasesVoided;
    }
    return sum;
  }
}

/** Throws for lists that are none, for texts that cannot be sent, and for an unknown mode. */
export function checkInvalidate({ keys = [], tags = [], mode }: Invalidate): void {
  checkTexts('keys', keys);
  checkTexts('tags', tags);
  checkWord('mode', mode, Object.keys(MODES));
}

function withWait({ waitMs = WAIT_MS }: Pick<GetOrLock, 'waitMs'>, options: CallOptions): CallTerms {
  return termsOf(options, waitMs + WAY_MS);
}

function bounded(options: CallOptions): CallTerms {
  return termsOf(options, DEADLINE_MS);
}

/** The call belongs to the trace of the calling code, unless it names another one. */
function termsOf({ deadlineMs, signal, traceparent }: CallOptions, unlessSaidMs: number): CallTerms {
  return {
    deadlineMs: wholeDeadlineMs(deadlineMs ?? unlessSaidMs),
    signal,
    traceparent: traceparent ?? currentTraceparent(),
  };
}

/** The transport reports a deadline that has passed. An infinite one becomes the longest that gRPC can count. */
function wholeDeadlineMs(deadlineMs: number): number {
  if (typeof deadlineMs === 'number' && !Number.isNaN(deadlineMs))
    return Math.min(deadlineMs, DEADLINE_MS_MAX);
  throw new DibsError(
    'INVALID_ARGUMENT',
    `deadlineMs: ${String(deadlineMs)} is not a number of milliseconds`,
  );
}
