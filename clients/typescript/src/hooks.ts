import { DibsError } from './errors.js';
import type { Published } from './outcomes.js';

/** The subject of a call. */
export interface CallEvent {
  readonly namespace: string;
  readonly key: string;
}

/** Receives what happens, for your own metrics. Errors thrown by a hook are ignored. */
export interface Hooks {
  /** A value was found: in this process's near cache, or at the service. */
  onHit?(
    event: CallEvent & { readonly freshness: 'fresh' | 'stale'; readonly source: 'near' | 'service' },
  ): void;
  /** A wait for another caller's rebuild has ended, with or without an answer, after `waitedMs` milliseconds. */
  onWait?(event: CallEvent & { readonly waitedMs: number; readonly answered: boolean }): void;
  /** The result of a publish. Usually `stored`. */
  onPublish?(event: CallEvent & Published): void;
  /** The lease of a rebuild was lost during the rebuild. */
  onLeaseLost?(event: CallEvent): void;
  /** The service could not be reached, so this process rebuilds for itself. */
  onLocalRebuild?(event: CallEvent & { readonly cause: Error }): void;
  /** A publish failed, or a rebuild behind a stale value did. No caller got an error. */
  onBackgroundError?(event: CallEvent & { readonly error: unknown }): void;
  /** The codec cannot read the value. It counts as a miss and is rebuilt, once. */
  onUndecodable?(event: CallEvent & { readonly error: unknown }): void;
  /** A rebuilt value cannot be stored, for example because it is too large. Its caller still gets it. */
  onNotStorable?(event: CallEvent & { readonly error: unknown }): void;
}

/** The compiler asks for every one. */
const ALL: Readonly<Record<keyof Hooks, true>> = {
  onHit: true,
  onWait: true,
  onPublish: true,
  onLeaseLost: true,
  onLocalRebuild: true,
  onBackgroundError: true,
  onUndecodable: true,
  onNotStorable: true,
};

/**
 * Each hook with its object, because hooks may be the methods of a class, such as one that counts. Throws for one that
 * cannot be called.
 */
export function bound(hooks: Hooks): Hooks {
  const all: Record<string, unknown> = {};
  for (const name of Object.keys(ALL) as (keyof Hooks)[]) {
    const hook = hooks[name];
    if (hook === undefined) continue;
    if (typeof hook !== 'function')
      throw new DibsError('INVALID_ARGUMENT', `hooks.${name}: is not a function`);
    all[name] = hook.bind(hooks);
  }
  return all;
}

/** Calls a hook. Its failure, now or later, must not fail the user's request. */
export function tell<E>(hook: ((event: E) => unknown) | undefined, event: E): void {
  if (hook === undefined) return;
  try {
    const told = hook(event);
    if (told instanceof Promise) told.catch(() => {});
  } catch {
    // A failing counter must not fail the request.
  }
}
