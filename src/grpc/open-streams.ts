import { status } from '@grpc/grpc-js';

/** As much of a grpc-js server stream as ending it from outside takes. */
interface OpenStream {
  once(event: 'close', listener: () => void): unknown;
  emit(event: 'error', error: { code: number; details: string }): unknown;
}

/** The streams that last until their client leaves: they would hold up a stop for ever. */
export class OpenStreams {
  readonly #streams = new Set<OpenStream>();

  add(stream: OpenStream): void {
    this.#streams.add(stream);
    stream.once('close', () => this.#streams.delete(stream));
  }

  /** Ends them all as UNAVAILABLE, which tells clients to ask another replica. */
  end(): void {
    for (const stream of this.#streams) {
      stream.emit('error', { code: status.UNAVAILABLE, details: 'this replica is stopping' });
    }
    this.#streams.clear();
  }
}
