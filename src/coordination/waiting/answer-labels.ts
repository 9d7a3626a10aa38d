import type { WaitEnd } from '../ports/observer.js';
import type { Busy, BusyReason, Failed, Hit, Lease } from '../words/outcome.js';

/** What ended a wait that ended with this answer. */
export function endOf(outcome: Hit | Busy | Failed): WaitEnd {
  if (outcome.kind === 'failed') return 'failure';
  return outcome.kind === 'busy' ? 'timeout' : 'publish';
}

/** What an answer is counted as. */
export function labelOf(
  outcome: Hit | Lease | Busy | Failed,
): 'hit' | 'stale' | 'lease' | 'failed' | BusyReason {
  if (outcome.kind === 'busy') return outcome.reason;
  return outcome.kind === 'hit' && !outcome.fresh ? 'stale' : outcome.kind;
}
