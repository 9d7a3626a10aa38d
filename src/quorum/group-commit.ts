import type { Clock } from '../coordination/ports/clock.js';
import type { LockStep, TakeStep } from './lock-node.js';

/** Limits of one call, in steps and roughly in bytes: a node does nothing else while it works on one call. */
export const CALL_STEPS_MAX = 128;
export const CALL_BYTES_MAX = 64 * 1024;
/** The size of a step without its ID and nonce. */
const STEP_BYTES = 16;

/** Receives the answer to one step. */
export type Settle<A> = (answer: A) => void;

/** What one node is asked in one call. */
export interface Part<S, A> {
  readonly steps: readonly S[];
  /** For each step. */
  readonly settles: readonly Settle<A>[];
  /** How long ago the first of them was asked for. The timeout counts from then. */
  readonly sinceMs: number;
}

/** One lock node, which sends each part in one call and settles each step once. Neither function throws. */
export interface Lane<A> {
  take(part: Part<TakeStep, A>): void;
  free(part: Part<LockStep, void>): void;
}

interface GrowingPart<S, A> {
  readonly steps: S[];
  readonly settles: Settle<A>[];
  readonly askedMs: number;
}

/** One call under construction, for all nodes. */
class Call<S extends LockStep, A> {
  readonly #steps: S[] = [];
  /** By node. The steps of a node are in the order of {@link #steps}. */
  readonly #parts: GrowingPart<S, A>[] = [];
  #bytes = 0;

  constructor(private readonly clock: Clock) {}

  /** False if the step needs another call. */
  ask(node: number, step: S, settle: Settle<A>): boolean {
    const part = this.#partOf(node);
    // Each node is asked for the same step in turn. A node that is asked twice has two separate steps.
    if (this.#steps.at(-1) !== step || part.steps.at(-1) === step) {
      const bytes = STEP_BYTES + step.id.length + step.nonce.length;
      const isFull = this.#steps.length === CALL_STEPS_MAX || this.#bytes + bytes > CALL_BYTES_MAX;
      if (isFull && this.#steps.length > 0) return false;
      this.#steps.push(step);
      this.#bytes += bytes;
    }
    part.steps.push(step);
    part.settles.push(settle);
    return true;
  }

  /** Nodes that are asked for every step share one list, so it is packed only once. */
  send(to: (node: number, part: Part<S, A>) => void): void {
    const nowMs = this.clock.nowMs();
    this.#parts.forEach(({ steps, settles, askedMs }, node) => {
      if (steps.length === 0) return;
      const isWhole = steps.length === this.#steps.length;
      to(node, { steps: isWhole ? this.#steps : steps, settles, sinceMs: nowMs - askedMs });
    });
  }

  #partOf(node: number): GrowingPart<S, A> {
    let part = this.#parts[node];
    if (part === undefined) {
      part = { steps: [], settles: [], askedMs: this.clock.nowMs() };
      this.#parts[node] = part;
    }
    return part;
  }
}

/** As many calls as the steps of one kind need, in their order. */
class Calls<S extends LockStep, A> {
  readonly all: Call<S, A>[] = [];

  constructor(private readonly clock: Clock) {}

  ask(node: number, step: S, settle: Settle<A>): void {
    if (this.all.at(-1)?.ask(node, step, settle) === true) return;
    const call = new Call<S, A>(this.clock);
    this.all.push(call);
    call.ask(node, step, settle);
  }
}

/** First the calls that free locks, then the calls that take locks. */
class Group<A> {
  readonly frees: Calls<LockStep, void>;
  readonly takes: Calls<TakeStep, A>;
  readonly taken = new Set<string>();

  constructor(clock: Clock) {
    this.frees = new Calls(clock);
    this.takes = new Calls(clock);
  }
}

/**
 * Gathers what one turn of the event loop asks of the lock nodes, and sends it when the turn ends. Each node gets one
 * call, with the steps in their order. Steps that free memory go before steps that take it, in a call of their own,
 * because a node that is full refuses only the latter. Steps of one key keep their order.
 */
export class GroupCommit<A> {
  readonly #lanes: Lane<A>[] = [];
  /** Unsent, in the order in which they are sent. */
  #groups: Group<A>[] = [];

  constructor(private readonly clock: Clock) {}

  /** Returns the node's number. */
  join(lane: Lane<A>): number {
    return this.#lanes.push(lane) - 1;
  }

  /** The same object means the same step, asked of another node. */
  take(node: number, step: TakeStep, settle: Settle<A>): void {
    const { takes, taken } = this.#group();
    takes.ask(node, step, settle);
    taken.add(step.id);
  }

  free(node: number, step: LockStep, settle: Settle<void>): void {
    let group = this.#group();
    // This turn has already asked to extend or acquire this key's lock, so the release must come after that.
    if (group.taken.has(step.id)) group = this.#begin();
    group.frees.ask(node, step, settle);
  }

  /** Sends what was gathered, in this turn. */
  flush(): void {
    const groups = this.#groups;
    this.#groups = [];
    for (const { frees, takes } of groups) {
      for (const call of frees.all) call.send((node, part) => this.#lanes[node]?.free(part));
      for (const call of takes.all) call.send((node, part) => this.#lanes[node]?.take(part));
    }
  }

  #group(): Group<A> {
    return this.#groups.at(-1) ?? this.#begin();
  }

  #begin(): Group<A> {
    // After everything that becomes due in this turn: replies that came in one read settle one after the other.
    if (this.#groups.length === 0) process.nextTick(() => this.flush());
    const group = new Group<A>(this.clock);
    this.#groups.push(group);
    return group;
  }
}
