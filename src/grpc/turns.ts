import { onceATurn } from './once-a-turn.js';

/**
 * What all callers together do in one turn of the event loop: a call counts as one, or as each of its keys. Answers leave
 * at the end of their turn. So with few in a turn, clients read answers while the next turn runs. With fewer, the
 * messages cost more than that gains.
 */
const WORK_PER_TURN = 64;

/** Work that can be done piece by piece. */
export interface Pieces {
  /** Does the next piece, and returns how much work it was. Undefined: nothing is left. */
  next(): number | undefined;
}

/**
 * Divides work into turns of the event loop, so that one message with much work does not hold up
 * others. Callers with work left take turns, piece by piece.
 */
export class Turns {
  #left = WORK_PER_TURN;
  readonly #plan: () => void;
  /** Those with work left, in the order of their turns. */
  readonly #waiting = new Set<Pieces>();

  constructor(atEndOfTurn?: (turn: () => void) => void) {
    this.#plan = onceATurn(() => this.#turn(), atEndOfTurn);
  }

  /** Does as much as this turn still has room for, and the rest later. What waits already keeps its place. */
  begin(pieces: Pieces): void {
    this.#plan();
    // Others have waited for longer.
    if (this.#waiting.size > 0) {
      this.#waiting.add(pieces);
      return;
    }
    while (this.#left > 0) {
      const work = pieces.next();
      if (work === undefined) return;
      this.#left -= work;
    }
    this.#waiting.add(pieces);
  }

  #turn(): void {
    this.#left = WORK_PER_TURN;
    // One piece each. What is added meanwhile comes after the others.
    for (const pieces of this.#waiting) {
      if (this.#left <= 0) break;
      const work = pieces.next();
      this.#waiting.delete(pieces);
      if (work === undefined) continue;
      this.#left -= work;
      this.#waiting.add(pieces);
    }
    if (this.#waiting.size > 0) this.#plan();
  }
}
