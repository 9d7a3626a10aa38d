/** What all callers together do in one turn of the event loop: a call counts as one, or as each of its keys. */
const WORK_PER_TURN = 250;

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
  #isPlanned = false;
  /** Those with work left. Each is in it once. */
  #waiting: Pieces[] = [];

  /** `atEndOfTurn` runs a turn's work once all that has arrived was read. */
  constructor(private readonly atEndOfTurn: (turn: () => void) => void = setImmediate) {}

  /** Does as much as this turn still has room for, and the rest later. Call it only if it has no work left from before. */
  begin(pieces: Pieces): void {
    this.#plan();
    // Others have waited for longer.
    if (this.#waiting.length > 0) {
      this.#waiting.push(pieces);
      return;
    }
    while (this.#left > 0) {
      const work = pieces.next();
      if (work === undefined) return;
      this.#left -= work;
    }
    this.#waiting.push(pieces);
  }

  #plan(): void {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    this.atEndOfTurn(() => this.#turn());
  }

  #turn(): void {
    this.#isPlanned = false;
    this.#left = WORK_PER_TURN;
    while (this.#waiting.length > 0 && this.#left > 0) {
      const round = this.#waiting;
      this.#waiting = [];
      for (const [at, pieces] of round.entries()) {
        if (this.#left <= 0) {
          this.#waiting.unshift(...round.slice(at));
          break;
        }
        const work = pieces.next();
        if (work === undefined) continue;
        this.#left -= work;
        this.#waiting.push(pieces);
      }
    }
    if (this.#waiting.length > 0) this.#plan();
  }
}
