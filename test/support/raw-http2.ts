import { connect, type Socket } from 'node:net';
import { frame, literal } from './http2-frames.mjs';

const FRAME_HEADERS = 1;
const FRAME_GOAWAY = 7;
const END_STREAM = 1;
const END_HEADERS = 4;

/** HTTP/2 by hand, for what no library sends: repeated headers, and endless frames. */
export class RawHttp2 {
  readonly #socket: Socket;
  #received = Buffer.alloc(0);
  closed = false;
  /** The server's error code, once it has refused further streams. */
  goaway: number | undefined;
  /** The raw bytes of all received header blocks. Literal texts can be found in them. */
  headerBytes = '';

  constructor(target: string, localAddress?: string) {
    const [host = '', port = ''] = target.split(':');
    this.#socket = connect({ host, port: Number(port), ...(localAddress && { localAddress }) });
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => {
      this.closed = true;
    });
    this.#socket.on('data', (bytes: Buffer) => this.#take(bytes));
    this.#socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    this.#socket.write(frame(4, 0, 0));
  }

  /** Opens a stream with these headers. */
  headers(stream: number, headers: readonly (readonly [string, string])[], ends = false): void {
    const block = Buffer.concat(headers.map(([name, value]) => literal(name, value)));
    this.#socket.write(frame(FRAME_HEADERS, END_HEADERS | (ends ? END_STREAM : 0), stream, block));
  }

  data(stream: number, bytes: Buffer, ends = true): void {
    this.#socket.write(frame(0, ends ? END_STREAM : 0, stream, bytes));
  }

  reset(stream: number): void {
    this.#socket.write(frame(3, 0, stream, Buffer.of(0, 0, 0, 8)));
  }

  /** Sends raw bytes. */
  write(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  end(): void {
    this.#socket.destroy();
  }

  #take(bytes: Buffer): void {
    this.#received = Buffer.concat([this.#received, bytes]);
    while (this.#received.byteLength >= 9) {
      const length = this.#received.readUIntBE(0, 3);
      if (this.#received.byteLength < 9 + length) return;
      const type = this.#received[3];
      const flags = this.#received[4] ?? 0;
      const body = this.#received.subarray(9, 9 + length);
      if (type === FRAME_HEADERS) this.headerBytes += body.toString('latin1');
      if (type === FRAME_GOAWAY) this.goaway = body.readUInt32BE(4);
      if (type === 4 && (flags & 1) === 0) this.#socket.write(frame(4, 1, 0));
      this.#received = this.#received.subarray(9 + length);
    }
  }
}
