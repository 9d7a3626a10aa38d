import { inCallback, settle } from './settle.js';

/** Something that is planned. */
export interface Due {
  readonly atMs: number;
  /** The order of planning. */
  readonly order: number;
  /** Things of one queue never overtake each other. */
  readonly queue: string;
  /** It settles no promise, so that nothing follows from it within its instant. */
  readonly isQuiet: boolean;
  fire: (() => void) | undefined;
}

/**
 * Says what happens next: one of `due`, which holds the first of each queue, in the order of planning.
 * Undefined ends the run.
 */
export type Choose = (due: readonly Due[]) => Due | undefined;

/**
 * Time that passes only from one due thing to the next. Things due at one instant happen in the order in
 * which they were planned, and all promises that follow from them settle before time goes on.
 *
 * With `choose`, things happen one by one, and it says in which order. So a search can try them all.
 */
export class VirtualTime {
  #nowMs = 0;
  #order = 0;
  /** All that happened in this instant was quiet. */
  #wasQuiet = true;
  /** A binary heap, the next due thing at its root. */
  readonly #heap: Due[] = [];
  /** When each thing of the heap is due, in the same places: most comparisons need nothing else. */
  readonly #timesMs: number[] = [];
  /** With `choose`: what is due and has not happened. */
  readonly #ready: Due[] = [];

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Things that have happened so far. */
  steps = 0;

  choose: Choose | undefined;
  /** `choose` ended the run. */
  ended = false;

  /** Plans a thing; the returned function takes it off the plan. */
  at(atMs: number, fire: () => void, queue = '', isQuiet = false): () => void {
    const dueMs = Math.max(atMs, this.#nowMs);
    const due: Due = { atMs: dueMs, order: this.#order++, queue, isQuiet, fire };
    this.#push(due, dueMs);
    return () => {
      due.fire = undefined;
    };
  }

  /** When the next thing is due, of those that are not due yet; Infinity if there is none. */
  get nextMs(): number {
    const heap = this.#heap;
    while (heap.length > 0) {
      if ((heap[0] as Due).fire !== undefined) return this.#timesMs[0] as number;
      this.#pop();
    }
    return Number.POSITIVE_INFINITY;
  }

  /** Time goes on to the next thing, although there may be something due that has not happened. */
  skip(): void {
    this.#nowMs = Math.max(this.#nowMs, this.nextMs);
    this.#takeDue();
  }

  /** Lets time pass until `untilMs`. */
  async runUntil(untilMs: number): Promise<void> {
    if (this.choose !== undefined) await inCallback(() => this.#runChosen(untilMs));
    else if (settle === undefined) await this.#runInTurns(untilMs);
    else await inCallback(() => this.#run(untilMs, settle as () => void));
    this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  /** Lets time pass, `stepMs` and again `stepMs`, once at least, until something `isOver` or until `untilMs`. */
  async runThrough(isOver: () => boolean, untilMs: number, stepMs: number): Promise<void> {
    if (this.choose !== undefined || settle === undefined) {
      do await this.runUntil(this.#nowMs + stepMs);
      while (!isOver() && this.#nowMs < untilMs);
      return;
    }
    const settling = settle;
    // One turn of the event loop for all of them, for each is a good part of what happens in `stepMs`.
    await inCallback(() => {
      do {
        const stepEndMs = this.#nowMs + stepMs;
        this.#run(stepEndMs, settling);
        this.#nowMs = Math.max(this.#nowMs, stepEndMs);
      } while (!isOver() && this.#nowMs < untilMs);
    });
  }

  #run(untilMs: number, settle: () => void): void {
    // Where nothing was left to settle, looking for it would be a good part of the step's cost.
    while (this.#fireNext(untilMs)) if (!this.#wasQuiet) settle();
  }

  /** The same, a turn of the event loop for each instant, which costs several times as much. */
  async #runInTurns(untilMs: number): Promise<void> {
    while (this.#fireNext(untilMs)) await new Promise((resolve) => setImmediate(resolve));
  }

  /** All that is due at the next instant, as one turn of an event loop takes all that has arrived. */
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

  /** The first of each queue, in the order of planning. */
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
      // It is planned last, so that it comes after what is due at the same instant.
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
