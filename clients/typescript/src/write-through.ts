import { DibsError } from './errors.js';
import type { FetchParts } from './fetch-loop.js';
import { tell } from './hooks.js';
import type { Storing } from './numbers.js';
import type { Lease, Published } from './outcomes.js';
import { pause } from './pause.js';
import { mayPublishAgain } from './rebuild.js';

/** What is stored under a key instead of a rebuild's result. */
export interface SetCall {
  readonly namespace: string;
  readonly key: string;
  /** null: the source has nothing. */
  readonly bytes: Uint8Array | null;
  readonly options: Storing & { readonly ttlMs: number; readonly traceparent?: string | undefined };
}

const PUBLISH_TIMES_MAX = 4;
const PUBLISH_PAUSE_MS = 100;

/** Publishes under the lease. Rejects with a {@link DibsError} if it is unknown whether the value is stored. */
export async function publishUnder(parts: FetchParts, call: SetCall, lease: Lease): Promise<Published> {
  const { calls, hooks, clock, chance, background } = parts;
  const { namespace, key, bytes, options } = call;
  const { ttlMs, staleMs, tags, traceparent } = options;
  const untilMs = clock.nowMs() + lease.expiresInMs;
  for (let time = 1; ; time += 1) {
    try {
      const request = { namespace, key, token: lease.token, value: bytes, ttlMs, staleMs, tags };
      const published = await calls.publish(request, { traceparent });
      tell(hooks.onPublish, { namespace, key, ...published });
      return published;
    } catch (error) {
      // Safe to repeat: a publish that was already stored answers `duplicate`.
      const isAgain = time < PUBLISH_TIMES_MAX && error instanceof DibsError && mayPublishAgain(error);
      // Later, another caller has the lease.
      if (isAgain && clock.nowMs() + (error.retryAfterMs ?? 0) <= untilMs) {
        const backOffMs = PUBLISH_PAUSE_MS * 2 ** (time - 1) * (0.5 + chance.fraction());
        await pause(clock, error.retryAfterMs ?? backOffMs);
        continue;
      }
      // Others need not wait until it expires.
      const failed = (cause: unknown) => tell(hooks.onBackgroundError, { namespace, key, error: cause });
      background.add(calls.release({ namespace, key, token: lease.token }, { traceparent }).catch(failed));
      throw error;
    }
  }
}
