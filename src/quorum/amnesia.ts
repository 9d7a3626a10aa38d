import type { Clock } from '../coordination/ports/clock.js';
import type { FirstStartClaim } from './first-start-claim.js';
import type { Memory } from './lock-node.js';
import { within } from './within.js';

/** The part of a lock node that a first start needs. */
export interface Witness {
  /** Its last report; undefined before the first one. */
  readonly memory: Memory | undefined;
  /** Asks it again. Changes nothing except that its wait may begin. Undefined if it does not answer. */
  recall(): Promise<Memory | undefined>;
  /** Marks it if its wait is still the one that began at `since`. */
  markFirst(since: string): Promise<void>;
}

/** Longer than a call to the value store may take. Only the start waits for it. */
const CLAIM_MS_MAX = 1_000;
/** How often the claim is repeated. A flushed store forgets it, and this bounds for how long. */
const CLAIM_EVERY_MS = 10_000;
/** The winner of the claim marks the nodes within a few round trips. Until then the start is not settled. */
const MARKING_MS_MAX = 1_000;

/**
 * Lets a new quorum skip the wait. amnesia.md beside it has the reasoning. In short: if all nodes never had a marker,
 * at one instant, and the store has never seen a quorum, then nothing was forgotten.
 */
export class Amnesia {
  #witnesses: readonly Witness[] = [];
  /** As far as this replica knows, a first start is no longer possible. */
  #over = false;
  #busy = false;
  #closed = false;
  #cancelTending = () => {};
  #cancelPause = () => {};

  constructor(private readonly parts: { readonly clock: Clock; readonly claim: FirstStartClaim }) {}

  /** A first start may be running, here or on another replica. */
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

  /** Call it whenever a node has reported. */
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
   * Records in the store that this quorum votes, so that a later loss of all lock nodes is never mistaken for a
   * first start. True if the store did not know. Undefined if the store cannot be reached, which blocks nothing: a
   * quorum must work without the store.
   */
  async claim(): Promise<boolean | undefined> {
    const { clock, claim } = this.parts;
    const claimed = await within(clock, CLAIM_MS_MAX, () => claim.claimFirstStart());
    return claimed.kind === 'done' ? claimed.value : undefined;
  }

  #settled = () => {};

  async #attempt(waits: readonly string[]): Promise<void> {
    // The nodes were asked one after the other. A node that was blank at first may have been marked by its age,
    // voted and forgotten before the last node was asked. After asking again, there is one instant between two
    // equal answers of every node, and at that instant all of them were blank.
    const again = blankWaits(await Promise.all(this.#witnesses.map((witness) => witness.recall())));
    if (again === undefined || waits.some((since, at) => since !== again[at])) return;
    const claimed = await this.claim();
    if (claimed === undefined || this.#closed) return;
    this.#over = true;
    if (claimed) {
      // This replica may pause here for any time. A node that forgets something meanwhile loses its wait too, and
      // refuses the mark. If the replica dies here, the unmarked nodes vote when their waits are old enough.
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

/** The wait of each node, if all of them wait and never had a marker. */
function blankWaits(memories: readonly (Memory | undefined)[]): string[] | undefined {
  const waits: string[] = [];
  for (const memory of memories) {
    if (memory?.kind !== 'waiting' || !memory.blank) return undefined;
    waits.push(memory.since);
  }
  return waits;
}
