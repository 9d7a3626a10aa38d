import type { Key } from '../words/key.js';
import type { Hit, Lease } from '../words/outcome.js';
import type { Span } from '../words/trace.js';
import type { Candidate, Given } from './attempt.js';
import type { HeldLease } from './held-leases.js';

/** The lease as its caller sees it at `nowMs`. */
export function leaseOf({ token, owner, untilMs, reason }: Given, nowMs: number, previous?: Hit): Lease {
  const expiresInMs = Math.max(1, Math.floor(untilMs - nowMs));
  return { kind: 'lease', token, fence: token.fence, expiresInMs, reason, owner, previous };
}

/** When a lease was granted: its span in the holder's trace, the time, and the count of changes on this replica. */
export interface GivenHere {
  readonly sinceMs: number;
  readonly count: number;
  readonly span: Span | undefined;
}

/** What the replica that grants a lease remembers about it. */
export function heldOf(
  key: Key,
  { request, call, requestKey }: Candidate,
  given: Given,
  at: GivenHere,
): HeldLease {
  const { token, owner, untilMs, storedUntilMs, reason, givenAt = at.count } = given;
  const { span, sinceMs } = at;
  return {
    key,
    nonce: token.nonce,
    kind: token.kind,
    fence: token.fence,
    sinceMs,
    givenAt,
    leaseMs: token.leaseMs,
    holder: request.holder,
    traceparent: span?.traceparent ?? call.traceparent,
    requestKey,
    reason,
    untilMs,
    storedUntilMs,
    owner,
    span,
  };
}
