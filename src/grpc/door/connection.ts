import { constants, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { type PeerCertificate, TLSSocket } from 'node:tls';
import { peerOf } from '../../access/peer.js';
import { afterReceiving } from './after-receiving.js';
import { ConnectionArrivals } from './arrivals.js';
import { ConnectionUnsent } from './unsent.js';

/**
 * Node's HTTP/2 closes a connection with an error after a burst of 1,000 cancelled streams, and 33 each second. All
 * other calls of it would fail. So a connection is renewed before that can happen: it takes no new calls, and the open
 * ones continue. HTTP/2 counts no cancellations after a GOAWAY. Together, these two are below 1,000.
 */
const CANCELLED_BURST = 500;
const OPEN_BURST = 499;
const CANCELLED_PER_MS = 0.03;
/** Streams that a client may open before it knows that the connection takes none, and how long that may take. */
const STREAMS_AFTER_LEAVING = 1_000;
const KNOWS_AFTER_MS = 10_000;
/** The highest number of a stream: all streams so far are answered. */
const ANY_STREAM = 2 ** 31 - 1;

/** One connection of a client. */
export class Connection {
  /** The name under which its address has its share. */
  readonly peer: string;
  readonly arrivals = new ConnectionArrivals();
  readonly unsent = new ConnectionUnsent(this);
  #isAdmitted = false;
  #wasRefused = false;
  #open = 0;
  #cancelled = 0;
  #cancelledMs = 0;
  /** When it began to take no new calls, and how many came anyway. */
  #leftMs: number | undefined;
  #afterLeaving = 0;
  #isCut = false;

  /** The session's own socket may be another: one that reads `socket` in pieces. */
  constructor(
    readonly session: ServerHttp2Session,
    private readonly socket: Socket,
    private readonly streamsMax: number,
    private readonly nowMs: () => number,
  ) {
    this.peer = peerOf(socket.remoteAddress);
  }

  /** What its client has shown, if it was verified. */
  certificate(): PeerCertificate | undefined {
    const { socket } = this;
    if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
    // Null when the socket has closed, whatever its type says: a call may begin after that.
    const certificate: PeerCertificate | null = socket.getPeerCertificate();
    return certificate?.raw === undefined ? undefined : certificate;
  }

  /** It ends in a moment, so nothing that still arrives is worth any work. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** Whether a caller of it was admitted. */
  get isAdmitted(): boolean {
    return this.#isAdmitted;
  }

  /** Whether one of its callers was admitted, and nothing that came so far was refused. */
  get isTrusted(): boolean {
    return this.#isAdmitted && !this.#wasRefused;
  }

  /** A call of it was refused, or reset before its request was there. */
  refused(): void {
    this.#wasRefused = true;
  }

  /** A caller of it was admitted: it may open as many streams as a known client. */
  admitted(): void {
    if (this.#isAdmitted) return;
    this.#isAdmitted = true;
    if (!this.session.destroyed) this.session.settings({ maxConcurrentStreams: this.streamsMax });
  }

  /** A stream has come. */
  opened(stream: ServerHttp2Stream): void {
    this.#open += 1;
    stream.once('close', this.#closed);
    stream.on('aborted', this.cancelled);
    if (this.#leftMs !== undefined) this.#openedLate(this.#leftMs);
    else if (this.#open > OPEN_BURST) this.#leave();
  }

  /**
   * Its client has cancelled an open call, or probably will. Node tells of a cancellation before HTTP/2 counts it, also
   * in the middle of a burst.
   */
  readonly cancelled = (): void => {
    if (this.#leftMs !== undefined) return;
    const nowMs = this.nowMs();
    this.#cancelled = Math.max(0, this.#cancelled - (nowMs - this.#cancelledMs) * CANCELLED_PER_MS) + 1;
    this.#cancelledMs = nowMs;
    if (this.#cancelled >= CANCELLED_BURST) this.#leave();
  };

  bytesWritten(): number {
    return this.socket.bytesWritten;
  }

  bytesRead(): number {
    return this.socket.bytesRead;
  }

  hasUnsent(): boolean {
    return this.unsent.bytes > 0 || this.unsent.waiting.size > 0;
  }

  ping(answered: () => void): boolean {
    // A connection that ends meanwhile calls back too, with an error.
    return !this.session.destroyed && this.session.ping((error) => error === null && answered());
  }

  end(): void {
    this.session.destroy();
  }

  /** Ends it and all of its calls, soon. */
  cut(): void {
    if (this.#isCut) return;
    this.#isCut = true;
    const { session } = this;
    stopReading(session);
    afterReceiving(() => {
      if (session.destroyed) return;
      // The client reads this before the resets, and ends its side at once instead of stream by stream.
      session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM);
      session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
    });
  }

  readonly #closed = (): void => {
    this.#open -= 1;
  };

  #openedLate(leftMs: number): void {
    this.#afterLeaving += 1;
    const isKnown = this.nowMs() - leftMs > KNOWS_AFTER_MS;
    if (this.#afterLeaving > (isKnown ? STREAMS_AFTER_LEAVING : this.streamsMax)) this.cut();
  }

  #leave(): void {
    if (this.session.destroyed || this.session.closed) return;
    this.#leftMs = this.nowMs();
    this.session.goaway(constants.NGHTTP2_NO_ERROR, ANY_STREAM);
    afterReceiving(() => {
      if (!this.session.destroyed) this.session.close();
    });
  }
}

/**
 * One turn of the event loop reads up to 2 MiB of a connection, which are 15,000 streams. Node has no way to stop that:
 * HTTP/2 reads past its socket. If a later Node hides the handle, all that has arrived is read, and dropped.
 */
function stopReading(session: ServerHttp2Session): void {
  // An ended session throws when it is asked for anything of its socket.
  if (session.destroyed) return;
  const { _handle } = session.socket as { _handle?: { readStop?(): void } | null };
  _handle?.readStop?.();
}
