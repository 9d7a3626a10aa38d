import { type Clock, SYSTEM_CLOCK } from './clock.js';
import type { Made, RebuildBytes } from './rebuild.js';

/** What a rebuild of one key gets. */
export type RebuildFacts = Parameters<RebuildBytes>[0];

/** Rebuilds the bytes of several keys. The returned function gives those of one key, or throws. */
export type RebuildManyBytes = (
  rebuilds: ReadonlyMap<string, RebuildFacts>,
  /** Aborted when the signals of all keys are. */
  signal: AbortSignal,
) => Promise<(key: string) => Made>;

interface Waiting {
  readonly facts: RebuildFacts;
  /** Its rebuild begins. */
  begun(): void;
  resolve(made: Made): void;
  reject(error: unknown): void;
}

/**
 * Keys whose leases come later, one after the other, are rebuilt together if they come within this time. It doubles
 * with each such rebuild, because under load the leases for a thousand keys trickle in.
 */
const GATHER_MS = { min: 10, max: 160 };

/**
 * Gathers the rebuilds of single keys into calls for several: first everything that the first answers brought, then the
 * rest.
 */
export class ManyRebuilds {
  #waiting = new Map<string, Waiting>();
  #hasAnswers = false;
  #isPlanned = false;
  #gatherMs = GATHER_MS.min;

  constructor(
    private readonly rebuild: RebuildManyBytes,
    private readonly clock: Clock = SYSTEM_CLOCK,
  ) {}

  /** Rebuilds one key, together with others, unless its callers leave or its lease is lost before that begins. */
  made(key: string, facts: RebuildFacts): Promise<Made> {
    const { signal } = facts;
    return new Promise((resolve, reject) => {
      const leave = () => {
        if (this.#waiting.get(key) === waiting) this.#waiting.delete(key);
        reject(signal.reason);
      };
      const begun = () => signal.removeEventListener('abort', leave);
      const waiting: Waiting = { facts, begun, resolve, reject };
      this.#waiting.set(key, waiting);
      signal.addEventListener('abort', leave, { once: true });
      if (this.#hasAnswers) this.#gather();
    });
  }

  /** The first answers of all keys have come. */
  answered(): void {
    this.#hasAnswers = true;
    // Each key handles its answer within this turn of the event loop.
    this.#plan((run) => this.clock.soon(run));
  }

  #gather(): void {
    this.#plan((run) => {
      this.clock.after(this.#gatherMs, run);
      this.#gatherMs = Math.min(GATHER_MS.max, 2 * this.#gatherMs);
    });
  }

  #plan(later: (run: () => void) => void): void {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    later(() => {
      this.#isPlanned = false;
      const batch = this.#waiting;
      this.#waiting = new Map();
      for (const { begun } of batch.values()) begun();
      if (batch.size > 0) void this.#run(batch);
    });
  }

  async #run(batch: ReadonlyMap<string, Waiting>): Promise<void> {
    const signal = allAborted([...batch.values()].map(({ facts }) => facts.signal));
    try {
      const facts = new Map([...batch].map(([key, waiting]) => [key, waiting.facts]));
      const madeOf = await this.rebuild(facts, signal);
      for (const [key, { resolve, reject }] of batch) {
        try {
          resolve(madeOf(key));
        } catch (error) {
          reject(error);
        }
      }
    } catch (error) {
      for (const { reject } of batch.values()) reject(error);
    }
  }
}

/** Aborted when all of them are, with the reason of the last one. */
function allAborted(signals: readonly AbortSignal[]): AbortSignal {
  const all = new AbortController();
  let left = signals.length;
  for (const signal of signals) {
    const aborted = () => {
      left -= 1;
      if (left === 0) all.abort(signal.reason);
    };
    if (signal.aborted) aborted();
    else signal.addEventListener('abort', aborted, { once: true });
  }
  return all.signal;
}
