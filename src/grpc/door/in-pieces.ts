import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { onceATurn } from '../once-a-turn.js';

/** At most some 75 streams, if their headers are compressed as far as HTTP/2 allows: 2 ms. */
const PIECE_BYTES = 2_048;

type Done = (error?: Error | null) => void;

/**
 * A socket that hands on what it has received in small pieces, one in each turn of the event loop.
 *
 * HTTP/2 in Node reads up to 64 KiB of a socket at once, and handles them before anything else can happen. That can be
 * 2,400 streams. It has no bound for that, but it reads only as much of another stream as that gives. Such a stream
 * costs more than the socket itself, so only addresses with too many refused calls are received in this way.
 */
export class InPieces extends Duplex {
  /** What TLS has agreed on. HTTP/2 asks for it. */
  readonly alpnProtocol: string | false | null | undefined;
  readonly #handLater = onceATurn(() => this.#hand());
  #isWanted = false;

  constructor(private readonly socket: Socket | TLSSocket) {
    super();
    this.alpnProtocol = 'alpnProtocol' in socket ? socket.alpnProtocol : undefined;
    socket.on('readable', this.#handLater);
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
  }

  override _read(): void {
    this.#isWanted = true;
    this.#handLater();
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

  #hand(): void {
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
