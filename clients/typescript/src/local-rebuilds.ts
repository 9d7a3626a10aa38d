import { LRUCache } from 'lru-cache';
import { Callers } from './callers.js';
import { type Change, type CopyHolder, concerns, idOf } from './changes.js';
import { type Clock, SYSTEM_CLOCK } from './clock.js';
import type { LightSignal, SignalLike } from './light-signal.js';
import type { Made } from './rebuild.js';

/** What one caller, or several in one flight, need of a rebuild without the service. */
export interface LocalTerms {
  readonly namespace: string;
  readonly key: string;
  readonly signal: SignalLike;
  readonly untilMs: number;
  /** It accepts what was rebuilt, or is being rebuilt, before it came. */
  readonly mayShare: boolean;
  /** How long the value would be fresh, in milliseconds. */
  ttlMsOf(made: Made): number;
}

interface Running {
  readonly namespace: string;
  readonly key: string;
  readonly beganMs: number;
  readonly callers: Callers;
  result: Promise<Made>;
}

interface Kept {
  readonly namespace: string;
  readonly key: string;
  readonly made: Made;
}

/** A hot key is not rebuilt for each call while the service is unavailable, and an old value is not served for long. */
const KEPT_MS_MAX = 5_000;
const KEPT_BYTES_MAX = 67_108_864;
/** The size of an entry without its key and its value. */
const ENTRY_BYTES = 200;

/** Rebuilds of this process without the service, one at a time per key. Results are kept for a short time. */
export class LocalRebuilds implements CopyHolder {
  readonly #running = new Map<string, Running>();
  readonly #kept: LRUCache<string, Kept>;

  constructor(private readonly clock: Clock = SYSTEM_CLOCK) {
    this.#kept = new LRUCache<string, Kept>({
      maxSize: KEPT_BYTES_MAX,
      sizeCalculation: ({ made }, id) => ENTRY_BYTES + 2 * id.length + (made.bytes?.byteLength ?? 0),
      ttl: KEPT_MS_MAX,
      ttlResolution: 0,
      perf: { now: () => clock.nowMs() },
    });
  }

  /** Whether there is a recent result. */
  has(namespace: string, key: string): boolean {
    return this.#kept.has(idOf(namespace, key));
  }

  /** Calls `begun` if this begins a rebuild instead of joining one. */
  get(terms: LocalTerms, make: (signal: LightSignal) => Promise<Made>): Promise<Made> {
    const { namespace, key, signal, untilMs, mayShare } = terms;
    const id = idOf(namespace, key);
    if (mayShare) {
      const kept = this.#kept.get(id);
      if (kept !== undefined) return Promise.resolve(kept.made);
      const running = this.#running.get(id);
      if (running !== undefined) {
        const workedMs = () => this.clock.nowMs() - running.beganMs;
        return running.callers.wait(running.result, { signal, untilMs, workedMs });
      }
    }
    return this.#begin(id, terms, make);
  }

  /** The service is back. Its values count, also against a rebuild that still runs. */
  forget(): void {
    this.#kept.clear();
    this.#running.clear();
  }

  changed(change: Change): void {
    for (const [id, { namespace, key }] of this.#running) {
      if (concerns(change, namespace, key)) this.#running.delete(id);
    }
    for (const [id, { namespace, key }] of this.#kept.entries()) {
      if (concerns(change, namespace, key)) this.#kept.delete(id);
    }
  }

  /** Without the service, no change is received anyway. */
  missed(): void {}

  /** The service was there, and the session reports only changes from now on. */
  began(): void {
    this.forget();
  }

  #begin(id: string, terms: LocalTerms, make: (signal: LightSignal) => Promise<Made>): Promise<Made> {
    const { namespace, key, signal } = terms;
    const isCurrent = () => this.#running.get(id) === running;
    const end = () => {
      if (isCurrent()) this.#running.delete(id);
    };
    const callers = new Callers(end, this.clock);
    const running: Running = {
      ...{ namespace, key, callers, beganMs: this.clock.nowMs() },
      result: make(callers.signal),
    };
    this.#running.set(id, running);
    running.result.then((made) => {
      const ttl = Math.min(KEPT_MS_MAX, terms.ttlMsOf(made));
      // Only if it did not begin before an invalidation.
      if (isCurrent() && made.how.store && ttl > 0) this.#kept.set(id, { namespace, key, made }, { ttl });
      end();
    }, end);
    return callers.wait(running.result, { signal });
  }
}
