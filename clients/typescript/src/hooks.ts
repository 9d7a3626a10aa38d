import type { Published } from './outcomes.js';

/** What a call was about. */
export interface CallEvent {
  readonly namespace: string;
  readonly key: string;
}

/** Hears what happens, for your own metrics. What a hook throws is ignored. */
export interface Hooks {
  /** A value was there: in this process's near cache, or at the service. */
  onHit?(
    event: CallEvent & { readonly freshness: 'fresh' | 'stale'; readonly source: 'near' | 'service' },
  ): void;
  /** Another caller's rebuild was waited for, with or without an answer in the end: for how long. */
  onWait?(event: CallEvent & { readonly waitedMs: number; readonly answered: boolean }): void;
  /** What became of a result that was handed over; `stored` is the rule. */
  onPublish?(event: CallEvent & Published): void;
  /** The lease of a rebuild was lost while it ran. */
  onLeaseLost?(event: CallEvent): void;
  /** The service could not be reached, so that this process rebuilds for itself. */
  onLocalRebuild?(event: CallEvent & { readonly cause: Error }): void;
  /** A publish failed, or a rebuild behind a stale value did: no caller was told by an error. */
  onBackgroundError?(event: CallEvent & { readonly error: unknown }): void;
  /** The codec cannot read the value, which counts as a miss: it is rebuilt, once. */
  onUndecodable?(event: CallEvent & { readonly error: unknown }): void;
  /** A value was rebuilt and cannot be stored, for example because it is too large. Its caller still gets it. */
  onNotStorable?(event: CallEvent & { readonly error: unknown }): void;
}

/** Calls a hook. Its own failure, at once or later, must not fail the user's request. */
export function tell<E>(hook: ((event: E) => unknown) | undefined, event: E): void {
  if (hook === undefined) return;
  try {
    const told = hook(event);
    if (told instanceof Promise) told.catch(() => {});
  } catch {
    // A counter that fails is not the request's fault.
  }
}
