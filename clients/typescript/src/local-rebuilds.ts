import { LRUCache } from 'lru-cache';
import { Callers } from './callers.js';
import { type Change, type CopyHolder, concerns, named } from './changes.js';
import { type Clock, SYSTEM_CLOCK } from './clock.js';
import type { Made } from './rebuild.js';

/** What one caller, or several that share a flight, want of a rebuild without the service. */
export interface LocalTerms {
  readonly namespace: string;
  readonly key: string;
  readonly signal: AbortSignal;
  readonly untilMs: number;
  /** It takes what was rebuilt, or is being rebuilt, before it came. */
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

/** A hot key is not rebuilt for each call while the service is away, and an old value is not served for long. */
const KEPT_MS_MAX = 5_000;
const KEPT_BYTES_MAX = 67_108_864;
/** Besides its key and its value an entry has its place in the maps. */
const ENTRY_BYTES = 200;

/** Rebuilds of this process without the service: one at a time for each key. Results are kept for a short while. */
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

  /** `begun` is called when this begins a rebuild, rather than joining one. */
  get(terms: LocalTerms, make: (signal: AbortSignal) => Promise<Made>): Promise<Made> {
    const { namespace, key, signal, untilMs, mayShare } = terms;
    const id = `${named(namespace)}\0${key}`;
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

  /** The service is back, and knows better, also than a rebuild that still runs. */
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

  /** Without the service no change is heard of anyway. */
  missed(): void {}

  /** The service was there, and the session tells only of changes from now on. */
  began(): void {
    this.forget();
  }

  #begin(id: string, terms: LocalTerms, make: (signal: AbortSignal) => Promise<Made>): Promise<Made> {
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
      // Not what was begun before an invalidation.
      if (isCurrent() && made.how.store && ttl > 0) this.#kept.set(id, { namespace, key, made }, { ttl });
      end();
    }, end);
    return callers.wait(running.result, { signal });
  }
}
