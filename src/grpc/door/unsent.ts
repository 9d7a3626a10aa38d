import type { Clock } from '../../coordination/ports/clock.js';
import { onceATurn } from '../once-a-turn.js';

/** A connection whose client reads nothing for so long is cut off. */
const STALLED_MS_MAX = 30_000;
/** The same while half of what all may hold is taken: it is cut off before others have to wait. */
const STALLED_MS_MAX_WHEN_FULL = 2_000;

/** The part of a connection that is needed here. */
export interface Reader {
  /** All bytes that its client has taken so far. */
  bytesWritten(): number;
  cut(): void;
}

/** The answers of one connection that its client has not read. */
export class ConnectionUnsent {
  bytes = 0;
  /** Answers that are not even encoded, in order. */
  readonly waiting: Set<() => void> = new Set();
  progressedMs = 0;
  written = 0;

  constructor(readonly reader: Reader) {}
}

/**
 * Bounds the encoded answers that clients have not read. A connection may hold as much as is still free. Further answers
 * wait without being encoded, so they cost no copy of their values. They are written at the end of a turn: a connection
 * that breaks ends its calls one by one, and the room that one leaves is not for the next.
 */
export class Unsent {
  #bytes = 0;
  #waiting = 0;
  /** Connections with answers here. */
  readonly #all = new Set<ConnectionUnsent>();
  readonly #planWrites: () => void;

  constructor(
    private readonly clock: Pick<Clock, 'nowMs'>,
    private readonly bytesMax: number,
    atEndOfTurn?: (turn: () => void) => void,
  ) {
    this.#planWrites = onceATurn(() => this.#write(), atEndOfTurn);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Calls `write` now, or when there is room. */
  send(of: ConnectionUnsent, write: () => void): void {
    if (!this.#all.has(of)) {
      this.#all.add(of);
      of.progressedMs = this.clock.nowMs();
      of.written = of.reader.bytesWritten();
    }
    if (of.waiting.size === 0 && this.#mayWrite(of)) write();
    else {
      of.waiting.add(write);
      this.#waiting += 1;
    }
  }

  /** The caller of an answer has left. */
  forget(of: ConnectionUnsent, write: () => void): void {
    if (!of.waiting.delete(write)) return;
    this.#waiting -= 1;
    this.#tidy(of);
  }

  /** An answer of this size was written, and is not read yet. */
  wrote(of: ConnectionUnsent, bytes: number): void {
    of.bytes += bytes;
    this.#bytes += bytes;
  }

  /** It was read, or its call has ended. */
  read(of: ConnectionUnsent, bytes: number): void {
    of.bytes -= bytes;
    this.#bytes -= bytes;
    this.#tidy(of);
    if (this.#waiting > 0) this.#planWrites();
  }

  /** Cuts off connections whose clients read nothing. */
  sweep(): void {
    const nowMs = this.clock.nowMs();
    const isFull = this.#bytes > this.bytesMax / 2;
    for (const of of this.#all) {
      const written = of.reader.bytesWritten();
      if (written !== of.written) {
        of.written = written;
        of.progressedMs = nowMs;
      } else if (nowMs - of.progressedMs > (isFull ? STALLED_MS_MAX_WHEN_FULL : STALLED_MS_MAX)) {
        of.reader.cut();
      }
    }
  }

  #write(): void {
    for (const of of this.#all) {
      for (const write of of.waiting) {
        if (!this.#mayWrite(of)) break;
        of.waiting.delete(write);
        this.#waiting -= 1;
        write();
      }
      this.#tidy(of);
    }
  }

  #tidy(of: ConnectionUnsent): void {
    if (of.bytes === 0 && of.waiting.size === 0) this.#all.delete(of);
  }

  /** One answer at a time continues even if others hold everything, until that is twice the bound. */
  #mayWrite(of: ConnectionUnsent): boolean {
    if (of.bytes === 0) return this.#bytes < 2 * this.bytesMax;
    return of.bytes <= this.bytesMax - this.#bytes;
  }
}
