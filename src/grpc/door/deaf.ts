import type { Clock } from '../../coordination/ports/clock.js';

/** A connection from which nothing has come for so long is examined, once for each silence. */
const SILENT_MS = 2_000;

/** The part of a connection that is needed here. */
export interface Line {
  /** All bytes that have come from its client. */
  bytesRead(): number;
  /** All bytes that were written to its client. */
  bytesWritten(): number;
  /** Whether answers wait for its client to read. Then a ping would wait behind them. */
  hasUnsent(): boolean;
  /** Sends a PING. False if it cannot. `answered` is called when its client has answered. */
  ping(answered: () => void): boolean;
  /** Ends it and all of its calls. */
  end(): void;
}

interface Heard {
  bytes: number;
  atMs: number;
  /** What was written before the PING of this silence; undefined before that, and when the PING was seen to leave. */
  writtenBefore: number | undefined;
  isExamined: boolean;
}

/**
 * Ends connections that HTTP/2 has given up. After some faults of a client (a frame on a stream that it never opened, a
 * wrong length, headers that cannot be decoded), nghttp2 sends a GOAWAY by itself, and from then on neither reads nor
 * writes. Node reports none of this. It does not even see that the client has closed: socket, session and calls would
 * stay until a keepalive fails, 80 s later.
 *
 * A PING finds them: HTTP/2 writes it at once, but not on these. It does not matter whether the client answers, because
 * a client may be slow.
 */
export class Deaf {
  readonly #heard = new Map<Line, Heard>();

  constructor(private readonly clock: Pick<Clock, 'nowMs'>) {}

  /** A connection has begun. */
  add(line: Line): void {
    this.#heard.set(line, {
      bytes: line.bytesRead(),
      atMs: this.clock.nowMs(),
      writtenBefore: undefined,
      isExamined: false,
    });
  }

  remove(line: Line): void {
    this.#heard.delete(line);
  }

  sweep(): void {
    const nowMs = this.clock.nowMs();
    for (const [line, heard] of this.#heard) this.#examine(line, heard, nowMs);
  }

  #examine(line: Line, heard: Heard, nowMs: number): void {
    const bytes = line.bytesRead();
    if (bytes !== heard.bytes) {
      heard.bytes = bytes;
      heard.atMs = nowMs;
      heard.writtenBefore = undefined;
      heard.isExamined = false;
    } else if (heard.writtenBefore !== undefined) {
      // Anything that was written since shows that HTTP/2 still writes.
      if (line.bytesWritten() === heard.writtenBefore && !line.hasUnsent()) line.end();
      else heard.writtenBefore = undefined;
    } else if (!heard.isExamined && nowMs - heard.atMs >= SILENT_MS && !line.hasUnsent()) {
      heard.writtenBefore = line.bytesWritten();
      heard.isExamined = line.ping(() => {
        // The silence goes on: without this, each answer would lead to the next PING.
        heard.bytes = line.bytesRead();
        heard.writtenBefore = undefined;
      });
      if (!heard.isExamined) heard.writtenBefore = undefined;
    }
  }
}
