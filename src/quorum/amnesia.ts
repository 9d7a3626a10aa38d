import type { Clock } from '../coordination/clock.js';
import type { FirstStartClaim } from './first-start-claim.js';
import type { Memory } from './lock-node.js';
import { within } from './within.js';

/** One lock node as the first start sees it. */
export interface Witness {
  /** What it last said; undefined while nothing is known of it. */
  readonly memory: Memory | undefined;
  /** Asks it anew, without any change but that a wait begins. Undefined if it does not answer. */
  recall(): Promise<Memory | undefined>;
  /** Marks it if its wait is still the one begun at `since`. */
  markFirst(since: string): Promise<void>;
}

/** As long as a step on the value store may take, and some more: nobody waits for it but the start. */
const CLAIM_MS_MAX = 1_000;
/** How often the claim is made sure of: a store that is flushed forgets it, and few seconds bound that. */
const CLAIM_EVERY_MS = 10_000;
/** Whoever won the claim marks the nodes within a few round trips; so long the start is not settled. */
const MARKING_MS_MAX = 1_000;

/**
 * Spares a new quorum the wait. README.md of this room has the reasoning; in short: if all nodes say that
 * they never had a marker, at one instant, and the store never heard of a quorum, nothing was forgotten.
 */
export class Amnesia {
  #witnesses: readonly Witness[] = [];
  /** A first start is no longer possible, as far as this replica knows. */
  #over = false;
  #busy = false;
  #closed = false;
  #cancelTending = () => {};
  #cancelPause = () => {};

  constructor(private readonly parts: { readonly clock: Clock; readonly claim: FirstStartClaim }) {}

  /** A first start may be under way, here or at another replica. */
  get busy(): boolean {
    return this.#busy;
  }

  start(witnesses: readonly Witness[], settled: () => void): void {
    this.#witnesses = witnesses;
    this.#settled = settled;
    this.#tend();
  }

  close(): void {
    this.#closed = true;
    this.#cancelTending();
    this.#cancelPause();
  }

  /** To be called whenever a node has said what it remembers. */
  noticed(): void {
    if (this.#over || this.#busy || this.#closed) return;
    const memories = this.#witnesses.map((witness) => witness.memory);
    if (memories.some((memory) => memory?.kind === 'marked')) {
      this.#over = true;
      return;
    }
    const waits = blankWaits(memories);
    if (waits === undefined) return;
    this.#busy = true;
    void this.#attempt(waits).finally(() => {
      this.#busy = false;
      this.#settled();
    });
  }

  /**
   * The store is told that this quorum votes, so that losing all lock nodes later is never taken for a
   * first start. True if it did not know; undefined if it cannot be reached, which stops nobody: a
   * quorum has to work without the store.
   */
  async claim(): Promise<boolean | undefined> {
    const { clock, claim } = this.parts;
    const claimed = await within(clock, CLAIM_MS_MAX, () => claim.claimFirstStart());
    return claimed.kind === 'done' ? claimed.value : undefined;
  }

  #settled = () => {};

  async #attempt(waits: readonly string[]): Promise<void> {
    // The nodes were asked one after the other. A node that was seen blank first may have been marked
    // by its age, voted and forgotten before the last was seen. Asking again puts one instant between
    // two equal answers of every node, at which all of them were blank together.
    const again = blankWaits(await Promise.all(this.#witnesses.map((witness) => witness.recall())));
    if (again === undefined || waits.some((since, at) => since !== again[at])) return;
    const claimed = await this.claim();
    if (claimed === undefined || this.#closed) return;
    this.#over = true;
    if (claimed) {
      // However long this replica pauses here: a node that forgets anything meanwhile loses its wait too,
      // and refuses the mark. If it dies here, the unmarked nodes come back by the age of their waits.
      await Promise.all(this.#witnesses.map((witness, at) => witness.markFirst(waits[at] ?? '')));
    }
    await this.#pause(MARKING_MS_MAX);
  }

  #tend(): void {
    this.#cancelTending = this.parts.clock.after(CLAIM_EVERY_MS, () => {
      const votes = this.#witnesses.some((witness) => witness.memory?.kind === 'marked');
      void (votes ? this.claim() : Promise.resolve()).then(() => {
        if (!this.#closed) this.#tend();
      });
    });
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.parts.clock.after(ms, resolve);
      this.#cancelPause = () => {
        cancel();
        resolve();
      };
    });
  }
}

/** Which wait each node is in, if each of them is in one and never had a marker. */
function blankWaits(memories: readonly (Memory | undefined)[]): string[] | undefined {
  const waits: string[] = [];
  for (const memory of memories) {
    if (memory?.kind !== 'waiting' || !memory.blank) return undefined;
    waits.push(memory.since);
  }
  return waits;
}
