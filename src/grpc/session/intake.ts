import { invalid } from '../decode.js';
import type { SessionCall, SessionRequest } from '../generated/dibs/v1/coordinator.js';
import type { Pieces, Turns } from '../turns.js';

/** As many calls as a session may have open. */
const CANCELLED_MAX = 100_000;
/** Cancelling a call that is not open costs one lookup in a map. */
const CANCELLED_PER_PIECE = 100;
/** A hundred messages without a request a second. */
const EMPTY_MESSAGE_MS = 10;

export interface IntakeParts {
  /** Takes one call of a message, by its place there, and returns how much work it was. */
  take(at: number, call: SessionCall): number;
  cancel(id: number): void;
  /** The stream ended with this error. */
  fail(error: unknown): void;
  /** Whether more messages are wanted. They are not while some wait here, or while the client does not read. */
  reading(isWanted: boolean): void;
  after(ms: number, act: () => void): void;
}

/** The messages of one session, in order, call by call. After its calls, a message's cancellations. */
export class Intake implements Pieces {
  readonly #messages: SessionRequest[] = [];
  /** What is left to do for these messages. */
  #work: Iterator<number> | undefined;
  /** What is left of the call that was taken last. */
  #rest: Pieces | undefined;
  #isReading = true;
  #isUnread = false;
  #isPaused = false;
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
    if (this.#work !== undefined) return;
    this.#work = this.#workOfMessages();
    this.turns.begin(this);
    this.#tellReading();
  }

  /** Takes nothing more. */
  end(): void {
    this.#finish();
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
    if (this.#work === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onEmpty = resolve;
    });
  }

  /** While the client does not read its answers, nothing more is done for it. */
  readonly hold = (isUnread: boolean): void => {
    this.#isUnread = isUnread;
    if (!isUnread && this.#work !== undefined) this.turns.begin(this);
    this.#tellReading();
  };

  next(): number | undefined {
    if (this.#work === undefined || this.#isUnread || this.#isPaused) return undefined;
    try {
      const { done, value } = this.#work.next();
      if (!done) return value;
    } catch (error) {
      this.end();
      this.parts.fail(error);
      return undefined;
    }
    this.#finish();
    this.#tellReading();
    return undefined;
  }

  *#workOfMessages(): Generator<number, undefined> {
    for (let message = this.#messages[0]; message !== undefined; message = this.#messages[0]) {
      yield* this.#workOf(message);
      this.#messages.shift();
    }
  }

  *#workOf({ hello, calls, cancelledIds }: SessionRequest): Generator<number> {
    for (let at = 0; at < calls.length; at += 1) {
      yield this.parts.take(at, calls[at] as SessionCall);
      for (let work = this.#rest?.next(); work !== undefined; work = this.#rest?.next()) yield work;
      this.#rest = undefined;
    }
    for (let at = 0; at < cancelledIds.length; at += CANCELLED_PER_PIECE) {
      for (const id of cancelledIds.slice(at, at + CANCELLED_PER_PIECE)) this.parts.cancel(id);
      yield 1;
    }
    if (cancelledIds.length > 0 || hello !== undefined) return;
    if (calls.some(({ request }) => request !== undefined)) return;
    this.#pause();
    yield 1;
  }

  /** A message without a request costs almost nothing to send. Clients have no reason for one, so more can wait. */
  #pause(): void {
    this.#isPaused = true;
    this.parts.after(EMPTY_MESSAGE_MS, () => {
      this.#isPaused = false;
      if (this.#work !== undefined) this.turns.begin(this);
    });
  }

  #finish(): void {
    this.#messages.length = 0;
    this.#work = undefined;
    this.#onEmpty?.();
  }

  #tellReading(): void {
    const isWanted = this.#work === undefined && !this.#isUnread;
    if (isWanted === this.#isReading) return;
    this.#isReading = isWanted;
    this.parts.reading(isWanted);
  }
}
