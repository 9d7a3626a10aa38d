import type { PublishOutcome } from './outcomes.js';

/** What a call was about. */
export interface CallEvent {
  readonly namespace: string;
  readonly key: string;
}

/** Hears what happens, for a user's own metrics. What a hook throws is ignored. */
export interface Hooks {
  /** A value was there. */
  onHit?(event: CallEvent & { readonly freshness: 'fresh' | 'stale' }): void;
  /** Somebody else's rebuild was waited for, with or without an answer in the end: for how long. */
  onWait?(event: CallEvent & { readonly waitedMs: number; readonly answered: boolean }): void;
  /** What became of a result that was handed over; `stored` is the rule. */
  onPublish?(event: CallEvent & { readonly outcome: PublishOutcome; readonly fence: number }): void;
  /** The lease of a rebuild was lost while it ran. */
  onLeaseLost?(event: CallEvent): void;
  /** The service could not be reached, so that this process rebuilds for itself. */
  onLocalRebuild?(event: CallEvent & { readonly cause: Error }): void;
  /** A result could not be handed over, or a rebuild behind a stale value failed: nobody was told by an error. */
  onBackgroundError?(event: CallEvent & { readonly error: unknown }): void;
}

/** Calls a hook so that its fault is nobody else's. */
export function tell<E>(hook: ((event: E) => void) | undefined, event: E): void {
  try {
    hook?.(event);
  } catch {
    // A user's counter that fails must not fail the user's request.
  }
}
