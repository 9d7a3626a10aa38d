import { status } from '@grpc/grpc-js';

/** The part of a grpc-js server stream that is needed to end it from outside. */
interface OpenStream {
  once(event: 'close', listener: () => void): unknown;
  emit(event: 'error', error: { code: number; details: string }): unknown;
}

/** Streams that last until their client leaves, and would block a stop forever. */
export class OpenStreams {
  readonly #streams = new Set<OpenStream>();

  add(stream: OpenStream): void {
    this.#streams.add(stream);
    stream.once('close', () => this.#streams.delete(stream));
  }

  /** Ends them all as UNAVAILABLE, which tells clients to use another replica. */
  end(): void {
    for (const stream of this.#streams) {
      stream.emit('error', { code: status.UNAVAILABLE, details: 'this replica is stopping' });
    }
    this.#streams.clear();
  }
}
