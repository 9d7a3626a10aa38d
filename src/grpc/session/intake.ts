import { invalid } from '../decode.js';
import type { SessionCall, SessionRequest } from '../generated/dibs/v1/coordinator.js';
import type { Pieces, Turns } from '../turns.js';

/** As many calls as a session may have open. */
const CANCELLED_MAX = 100_000;
/** A cancellation of a call that is not open is a look into a map. */
const CANCELLED_PER_PIECE = 100;

export interface IntakeParts {
  /** Takes one call of a message, and returns how much work it was. */
  take(path: string, call: SessionCall): number;
  cancel(id: number): void;
  /** The stream ended with this error. */
  fail(error: unknown): void;
  /** Whether more messages are wanted. They are not while some wait here, or while the client does not read. */
  reading(isWanted: boolean): void;
}

/** The messages of one session, in order, call by call. After its calls, a message's cancellations. */
export class Intake implements Pieces {
  readonly #messages: SessionRequest[] = [];
  #at = 0;
  #cancelledAt = 0;
  /** What is left of the call that was taken last. */
  #rest: Pieces | undefined;
  #isOver = false;
  #isWanted = true;
  #isUnread = false;
  #isPlanned = false;
  #onEmpty: (() => void) | undefined;

  constructor(
    private readonly turns: Turns,
    private readonly parts: IntakeParts,
  ) {}

  /** Throws `invalid_argument`. */
  add(message: SessionRequest): void {
    const { length } = message.cancelledIds;
    if (length > CANCELLED_MAX) throw invalid(`cancelled_ids: ${length} is outside 0 to ${CANCELLED_MAX}`);
    this.#messages.push(message);
    if (this.#messages.length > 1) return;
    this.#begin();
    this.#tellReading();
  }

  /** Takes nothing more. */
  end(): void {
    this.#isOver = true;
    this.#messages.length = 0;
    this.#onEmpty?.();
    // Its call has left, but ends only when all of it was done.
    if (this.#rest !== undefined) this.turns.begin(this.#rest);
    this.#rest = undefined;
  }

  /** The call that is being taken has more work, for later. */
  readonly pace = (rest: Pieces): void => {
    this.#rest = rest;
  };

  /** Resolves when everything so far was taken. */
  empty(): Promise<void> {
    if (this.#messages.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onEmpty = resolve;
    });
  }

  /** While the client does not read its answers, nothing more is done for it. */
  readonly hold = (isUnread: boolean): void => {
    this.#isUnread = isUnread;
    if (!isUnread && this.#messages.length > 0 && !this.#isPlanned) this.#begin();
    this.#tellReading();
  };

  #tellReading(): void {
    const isWanted = this.#messages.length === 0 && !this.#isUnread;
    if (isWanted === this.#isWanted) return;
    this.#isWanted = isWanted;
    this.parts.reading(isWanted);
  }

  next(): number | undefined {
    const work = this.#next();
    if (work === undefined) this.#isPlanned = false;
    return work;
  }

  #begin(): void {
    this.#isPlanned = true;
    this.turns.begin(this);
  }

  #next(): number | undefined {
    const [message] = this.#messages;
    if (message === undefined || this.#isOver || this.#isUnread) return undefined;
    try {
      const work = this.#piece(message);
      if (work !== undefined) return work;
    } catch (error) {
      this.end();
      this.parts.fail(error);
      return undefined;
    }
    this.#messages.shift();
    this.#at = 0;
    this.#cancelledAt = 0;
    if (this.#messages.length > 0) return 0;
    this.#onEmpty?.();
    this.#tellReading();
    return undefined;
  }

  /** Undefined if the message has no more. */
  #piece({ calls, cancelledIds }: SessionRequest): number | undefined {
    const work = this.#rest?.next();
    if (work !== undefined) return work;
    this.#rest = undefined;
    const call = calls[this.#at];
    if (call !== undefined) {
      const path = `calls[${this.#at}]`;
      this.#at += 1;
      return this.parts.take(path, call);
    }
    if (this.#cancelledAt >= cancelledIds.length) return undefined;
    const ids = cancelledIds.slice(this.#cancelledAt, this.#cancelledAt + CANCELLED_PER_PIECE);
    this.#cancelledAt += CANCELLED_PER_PIECE;
    for (const id of ids) this.parts.cancel(id);
    return 1;
  }
}
