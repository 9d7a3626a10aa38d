import type { Payload } from '../words/outcome.js';
import type { RebuildTimes } from '../words/record.js';

/**
 * The largest value, with its tags as JSON, that a wake carries. Every replica receives the wake, even if it has no use
 * for it: `npm run bench -- wakes`.
 */
export const WAKE_VALUE_BYTES_MAX = 1_024;

/** What a publish stored, as its wake reports it: the same as a read at that moment would have returned. */
export interface WokenValue {
  readonly payload: Payload;
  readonly ttlMs: number;
  readonly staleMs: number;
  readonly tags: readonly string[];
  /** The tag clock of its lease. */
  readonly clock: string;
  readonly rebuild: RebuildTimes;
  /** It was stored no earlier than that, on this replica's clock. */
  readonly storedAfterMs: number;
}

/** One change of a key, as every replica receives it. */
export interface Wake {
  readonly id: string;
  readonly kind: 'published' | 'released' | 'failed' | 'invalidated';
  /** The record's fence after the change. */
  readonly fence: number;
  /**
   * What was stored; absent unless it is small. It is decoded when this is called, because most replicas have no use for
   * it. Undefined if it cannot be.
   */
  readonly stored?: (() => WokenValue | undefined) | undefined;
}

/** An invalidation of tags, or of a whole namespace, on the namespace's tag clock. */
export interface TagWake {
  /** The clock's random id. Another id means a new clock, which started after the old one was lost. */
  readonly clockId: string;
  /** The clock's time after the invalidation: one more than after the previous one. */
  readonly time: number;
  /** Empty where `all` is true. */
  readonly tags: readonly string[];
  readonly all: boolean;
}

/** One change of a namespace: tags of it, or the whole, were invalidated, or one of its slots is free. */
export type NamespaceWake =
  | {
      readonly namespace: string;
      readonly kind: 'tags';
      /** Undefined if an older replica sent it, without details: anything in the namespace may have changed. */
      readonly wake: TagWake | undefined;
    }
  | { readonly namespace: string; readonly kind: 'room' };

export interface WakeListener {
  wake(wake: Wake): void;
  namespaceWake(wake: NamespaceWake): void;
  /** The channel is live again, or wakes were lost while it was. Any change may have been missed until now. */
  resubscribed(): void;
  /** The channel is down. */
  disconnected(): void;
}

/** Tells replicas that something changed. It may lose messages; the waiters' poll covers for that. */
export interface WakeChannel {
  /**
   * The subscription is confirmed, and its last pong is recent enough *now*. After a pause, a new pong must come first.
   */
  readonly live: boolean;
  /** Calls the listener for every wake from now on. The returned function ends this. */
  listen(listener: WakeListener): () => void;
}
