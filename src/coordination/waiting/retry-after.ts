import { clamp } from '../leasing/drift.js';
import { forecast } from '../leasing/forecast.js';
import type { Snapshot } from '../reading/snapshot.js';
import type { Busy, BusyReason, Failed, Hit } from '../words/outcome.js';
import type { KnownHolder } from './waiting-room.js';

/** Without a holder, there was no winner of a vote, or no slot. A few round trips later there may be one. */
const WITHOUT_HOLDER_MS = 250;
/** If the length of the rebuild is unknown: the rest of the lease, within these bounds, a round trip and a second. */
const GUESS_MS_MIN = 4;
const GUESS_MS_MAX = 1_000;

/** What is known about a key when a caller gets Busy. */
export interface Known {
  readonly holder: KnownHolder | undefined;
  readonly snapshot: Snapshot | undefined;
}

/** A busy answer for one caller. `fraction`, in [0, 1), spreads the retries of callers that get it together. */
export function busy(reason: BusyReason, known: Known, nowMs: number, fraction: number): Busy {
  const { holder } = known;
  return {
    kind: 'busy',
    // Another replica can be asked at once.
    retryAfterMs: reason === 'draining' ? 0 : Math.ceil(retryMs(known, nowMs, fraction)),
    holderAgeMs: holder === undefined ? 0 : Math.max(1, Math.floor(nowMs - holder.sinceMs)),
    reason,
  };
}

/** When the rebuild has usually ended. A guess if that is unknown. */
function retryMs({ holder, snapshot }: Known, nowMs: number, fraction: number): number {
  const expected = snapshot === undefined ? undefined : forecast(snapshot, nowMs);
  if (expected !== undefined) return expected.usuallyMs * (1 + fraction / 4);
  const guessMs =
    holder === undefined ? WITHOUT_HOLDER_MS : clamp(holder.untilMs - nowMs, GUESS_MS_MIN, GUESS_MS_MAX);
  return guessMs * (0.5 + fraction / 2);
}

/** What was decided for many callers, with the times of one of them. */
export function worded(
  outcome: Hit | Busy | Failed,
  known: Known,
  nowMs: number,
  fraction: number,
): Hit | Busy | Failed {
  if (outcome.kind === 'hit') return outcome;
  if (outcome.kind === 'busy') return busy(outcome.reason, known, nowMs, fraction);
  // Spread upwards only: no caller is sent to the source before the back-off ends.
  return { ...outcome, retryAfterMs: Math.ceil(outcome.retryAfterMs * (1 + fraction / 4)) };
}

/** For a caller that no room can admit. */
export const FULL_MS = WITHOUT_HOLDER_MS;
