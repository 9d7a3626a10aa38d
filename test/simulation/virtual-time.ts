import { inCallback, settle } from './settle.js';

/** A planned event. */
export interface Due {
  readonly atMs: number;
  /** The order of planning. */
  readonly order: number;
  /** Events of one queue never overtake each other. */
  readonly queue: string;
  /** It settles no promise, so nothing follows from it at the same instant. */
  readonly isQuiet: boolean;
  fire: (() => void) | undefined;
}

/**
 * Chooses the next event from `due`, which holds the first of each queue, in the order of planning. Undefined ends the
 * run.
 */
export type Choose = (due: readonly Due[]) => Due | undefined;

/**
 * Time that jumps from one due event to the next. Events that are due at one instant happen in the order of planning,
 * and all promises that follow from them settle before time goes on.
 *
 * With `choose`, events happen one by one in the order that it chooses, so a search can try all orders.
 */
export class VirtualTime {
  #nowMs = 0;
  #order = 0;
  /** Whether all events of this instant were quiet. */
  #wasQuiet = true;
  /** A binary heap with the next event at its root. */
  readonly #heap: Due[] = [];
  /** The due time of each event in the heap, at the same index. Most comparisons need nothing else. */
  readonly #timesMs: number[] = [];
  /** With `choose`: the events that are due and have not happened. */
  readonly #ready: Due[] = [];

  get nowMs(): number {
    return this.#nowMs;
  }

  /** The number of events so far. */
  steps = 0;

  choose: Choose | undefined;
  /** Whether `choose` ended the run. */
  ended = false;

  /** Plans an event. Returns a function that cancels it. */
  at(atMs: number, fire: () => void, queue = '', isQuiet = false): () => void {
    const dueMs = Math.max(atMs, this.#nowMs);
    const due: Due = { atMs: dueMs, order: this.#order++, queue, isQuiet, fire };
    this.#push(due, dueMs);
    return () => {
      due.fire = undefined;
    };
  }

  /** When the next event that is not due yet will be due; Infinity if there is none. */
  get nextMs(): number {
    const heap = this.#heap;
    while (heap.length > 0) {
      if ((heap[0] as Due).fire !== undefined) return this.#timesMs[0] as number;
      this.#pop();
    }
    return Number.POSITIVE_INFINITY;
  }

  /** Moves time to the next event, even if other events are due. */
  skip(): void {
    this.#nowMs = Math.max(this.#nowMs, this.nextMs);
    this.#takeDue();
  }

  /** Runs until `untilMs`. */
  async runUntil(untilMs: number): Promise<void> {
    if (this.choose !== undefined) await inCallback(() => this.#runChosen(untilMs));
    else if (settle === undefined) await this.#runInTurns(untilMs);
    else await inCallback(() => this.#run(untilMs, settle as () => void));
    this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  /** Runs in steps of `stepMs`, at least one, until `isOver` or `untilMs`. */
  async runThrough(isOver: () => boolean, untilMs: number, stepMs: number): Promise<void> {
    if (this.choose !== undefined || settle === undefined) {
      do await this.runUntil(this.#nowMs + stepMs);
      while (!isOver() && this.#nowMs < untilMs);
      return;
    }
    const settling = settle;
    // All steps share one turn of the event loop, because a turn costs much of what happens in `stepMs`.
    await inCallback(() => {
      do {
        const stepEndMs = this.#nowMs + stepMs;
        this.#run(stepEndMs, settling);
        this.#nowMs = Math.max(this.#nowMs, stepEndMs);
      } while (!isOver() && this.#nowMs < untilMs);
    });
  }

  #run(untilMs: number, settle: () => void): void {
    // Without anything to settle, the check would be much of the step's cost.
    while (this.#fireNext(untilMs)) if (!this.#wasQuiet) settle();
  }

  /** The same with one turn of the event loop for each instant, which costs several times as much. */
  async #runInTurns(untilMs: number): Promise<void> {
    while (this.#fireNext(untilMs)) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Fires everything that is due at the next instant, as one turn of an event loop would. */
  #fireNext(untilMs: number): boolean {
    const { nextMs } = this;
    if (nextMs > untilMs || nextMs === Number.POSITIVE_INFINITY) return false;
    this.#nowMs = nextMs;
    this.#wasQuiet = true;
    const [heap, timesMs] = [this.#heap, this.#timesMs];
    while (heap.length > 0 && (timesMs[0] as number) <= nextMs) {
      const due = heap[0] as Due;
      this.#pop();
      if (due.fire === undefined) continue;
      this.steps += 1;
      if (!due.isQuiet) this.#wasQuiet = false;
      due.fire();
    }
    return true;
  }

  #runChosen(untilMs: number): void {
    if (settle === undefined) throw new Error('this Node cannot settle promises one step at a time');
    for (;;) {
      this.#takeDue();
      const heads = this.#heads();
      if (heads.length === 0) {
        if (this.nextMs > untilMs) return;
        this.#nowMs = this.nextMs;
        continue;
      }
      const due = this.choose?.(heads);
      if (due === undefined) {
        this.ended = true;
        return;
      }
      const place = this.#ready.indexOf(due);
      if (place >= 0) this.#ready.splice(place, 1);
      this.steps += 1;
      due.fire?.();
      settle();
    }
  }

  #takeDue(): void {
    while (this.nextMs <= this.#nowMs) {
      this.#ready.push(this.#heap[0] as Due);
      this.#pop();
    }
  }

  /** The first event of each queue, in the order of planning. */
  #heads(): Due[] {
    const heads = new Map<string, Due>();
    let open = 0;
    for (const due of this.#ready) {
      if (due.fire === undefined) continue;
      this.#ready[open] = due;
      open += 1;
      const head = heads.get(due.queue);
      if (head === undefined || due.order < head.order) heads.set(due.queue, due);
    }
    this.#ready.length = open;
    return [...heads.values()].sort((one, other) => one.order - other.order);
  }

  #push(due: Due, dueMs: number): void {
    const [heap, timesMs] = [this.#heap, this.#timesMs];
    let at = heap.push(due) - 1;
    timesMs.push(dueMs);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const aboveMs = timesMs[parent] as number;
      // It is planned last, so it comes after other events of the same instant.
      if (aboveMs <= dueMs) break;
      heap[at] = heap[parent] as Due;
      timesMs[at] = aboveMs;
      at = parent;
    }
    heap[at] = due;
    timesMs[at] = dueMs;
  }

  #pop(): void {
    const [heap, timesMs] = [this.#heap, this.#timesMs];
    const last = heap.pop() as Due;
    const lastMs = timesMs.pop() as number;
    const { length } = heap;
    if (length === 0) return;
    let at = 0;
    for (let child = 1; child < length; child = at * 2 + 1) {
      if (child + 1 < length && this.#isBefore(child + 1, child)) child += 1;
      const childMs = timesMs[child] as number;
      if (lastMs < childMs || (lastMs === childMs && last.order < (heap[child] as Due).order)) break;
      heap[at] = heap[child] as Due;
      timesMs[at] = childMs;
      at = child;
    }
    heap[at] = last;
    timesMs[at] = lastMs;
  }

  #isBefore(one: number, other: number): boolean {
    const oneMs = this.#timesMs[one] as number;
    const otherMs = this.#timesMs[other] as number;
    return (
      oneMs < otherMs ||
      (oneMs === otherMs && (this.#heap[one] as Due).order < (this.#heap[other] as Due).order)
    );
  }
}
