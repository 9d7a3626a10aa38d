import type { Key } from './key.js';
import type { Payload } from './outcome.js';
import type { Token } from './token.js';

/** Requests as the domain takes them: validated by the edge, every default of the wire resolved or absent. */

export interface GetOrLock {
  readonly key: Key;
  readonly intent: 'rebuild' | 'read' | 'refresh';
  /** Absent: as long as the call's deadline allows. 0: do not wait. */
  readonly waitMs?: number;
  /** Absent: as policy and history say. */
  readonly leaseMs?: number;
  /** Absent: as the policy says. */
  readonly stale?: 'allow' | 'forbid';
  /** Absent: near. */
  readonly read?: 'near' | 'store';
  /** Empty: a retry is not recognized. */
  readonly requestId: string;
  readonly holder: string;
}

export interface Publish {
  readonly key: Key;
  /** Undefined unless it is a token of this key and this caller. It then holds nothing. */
  readonly token: Token | undefined;
  readonly payload: Payload;
  readonly ttlMs: number;
  /** Absent: as the policy says. */
  readonly staleMs?: number;
  readonly tags: readonly string[];
}

export interface Release {
  readonly key: Key;
  /** As {@link Publish.token}. */
  readonly token: Token | undefined;
  readonly failure?: { readonly message: string; readonly retryAfterMs?: number };
}

export interface Extend {
  readonly key: Key;
  /** As {@link Publish.token}. */
  readonly token: Token | undefined;
  /** Absent: the length of its grant. */
  readonly leaseMs?: number;
}

export interface Invalidate {
  readonly namespace: string;
  readonly keys: readonly Key[];
  readonly tags: readonly string[];
  readonly all: boolean;
  readonly mode: 'delete' | 'mark_stale';
}
