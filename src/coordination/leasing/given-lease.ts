import type { Key } from '../words/key.js';
import type { Hit, Lease } from '../words/outcome.js';
import type { Span } from '../words/trace.js';
import type { Candidate, Given } from './attempt.js';
import type { HeldLease } from './held-leases.js';

/** What its caller is told of a lease at `nowMs`. */
export function leaseOf({ token, owner, untilMs, reason }: Given, nowMs: number, previous?: Hit): Lease {
  const expiresInMs = Math.max(1, Math.floor(untilMs - nowMs));
  return { kind: 'lease', token, fence: token.fence, expiresInMs, reason, owner, previous };
}

/** Where a lease was given: in its holder's trace, and in time and the count of changes at this replica. */
export interface GivenHere {
  readonly sinceMs: number;
  readonly count: number;
  readonly span: Span | undefined;
}

/** What the replica that gives a lease remembers of it. */
export function heldOf(
  key: Key,
  { request, call, requestKey }: Candidate,
  given: Given,
  at: GivenHere,
): HeldLease {
  const { token, owner, untilMs, reason, givenAt = at.count } = given;
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
    storedUntilMs: token.kind === 'armed' ? untilMs : undefined,
    owner,
    span,
  };
}
