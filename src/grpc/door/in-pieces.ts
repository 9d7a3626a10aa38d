import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { onceATurn } from '../once-a-turn.js';

/** At most some 75 streams, if their headers are compressed as far as HTTP/2 allows: 2 ms. */
const PIECE_BYTES = 2_048;

type Done = (error?: Error | null) => void;

/** Lets one of several connections pass on a piece in each turn of the event loop, in the order in which they ask. */
export class PieceTurns {
  readonly #waiting = new Set<() => void>();
  readonly #nextTurn = onceATurn(() => this.#one());

  /** Calls `hand` in a turn of its own. Asking again while it waits changes nothing. */
  ask(hand: () => void): void {
    this.#waiting.add(hand);
    this.#nextTurn();
  }

  #one(): void {
    for (const hand of this.#waiting) {
      this.#waiting.delete(hand);
      hand();
      break;
    }
    if (this.#waiting.size > 0) this.#nextTurn();
  }
}

/**
 * A socket that passes on what it has received in small pieces, and shares the turns of the event loop with others.
 *
 * HTTP/2 in Node reads up to 64 KiB of a socket at once, and handles them before anything else can happen. That can be
 * 2,400 streams. It has no bound for that, but it reads only as much of another stream as that gives. Such a stream
 * costs more than the socket itself, so only addresses with too many refused calls are received in this way.
 */
export class InPieces extends Duplex {
  /** What TLS has agreed on. HTTP/2 asks for it. */
  readonly alpnProtocol: string | false | null | undefined;
  readonly #hand = () => this.#handOn();
  #isWanted = false;

  constructor(
    private readonly socket: Socket | TLSSocket,
    private readonly turns: PieceTurns,
  ) {
    super();
    this.alpnProtocol = 'alpnProtocol' in socket ? socket.alpnProtocol : undefined;
    // HTTP/2 does this itself to sockets. Otherwise each answer would wait for 40 ms.
    socket.setNoDelay();
    socket.on('readable', () => turns.ask(this.#hand));
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
  }

  override _read(): void {
    this.#isWanted = true;
    this.turns.ask(this.#hand);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.socket.write(chunk, done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: Done): void {
    this.socket.cork();
    const last = chunks.pop();
    for (const { chunk } of chunks) this.socket.write(chunk);
    this.socket.write(last?.chunk ?? '', done);
    this.socket.uncork();
  }

  override _final(done: Done): void {
    this.socket.end(() => done());
  }

  override _destroy(error: Error | null, done: Done): void {
    this.socket.destroy();
    done(error);
  }

  #handOn(): void {
    const { socket } = this;
    if (!this.#isWanted) return;
    const bytes = Math.min(socket.readableLength, PIECE_BYTES);
    // Without anything to read, the same call finds the end.
    const piece: Buffer | null = bytes > 0 ? socket.read(bytes) : socket.read();
    if (piece === null) return;
    this.#isWanted = false;
    this.push(piece);
  }
}
