import type { Readable } from 'node:stream';

/** grpc-js decodes these in 0.2 ms. Honest clients send fewer: one message carries the calls of a whole turn. */
const MESSAGES_MAX = 64;
/** Whether the message is compressed, and its length in four bytes. */
const PREFIX_BYTES = 5;

/** Where the messages of a stream end. */
class Ends {
  #prefixBytes = 0;
  /** Of the message that arrives now: its length as far as it is known, then the bytes that are still to come. */
  #left = 0;

  /** Whether the chunk is one whole message. Most are. */
  isOne(chunk: Buffer): boolean {
    if (this.#prefixBytes > 0 || chunk.byteLength < PREFIX_BYTES) return false;
    return chunk.readUInt32BE(1) === chunk.byteLength - PREFIX_BYTES;
  }

  /** The end of as many whole messages as may be passed on, or of the chunk. */
  after(chunk: Buffer, from: number): number {
    let at = from;
    for (let messages = 0; at < chunk.byteLength && messages < MESSAGES_MAX; ) {
      if (this.#prefixBytes < PREFIX_BYTES) {
        this.#left = this.#prefixBytes === 0 ? 0 : this.#left * 256 + (chunk[at] as number);
        this.#prefixBytes += 1;
        at += 1;
        if (this.#prefixBytes < PREFIX_BYTES) continue;
      }
      const bytes = Math.min(this.#left, chunk.byteLength - at);
      this.#left -= bytes;
      at += bytes;
      if (this.#left > 0) continue;
      this.#prefixBytes = 0;
      messages += 1;
    }
    return at;
  }
}

/**
 * Makes a stream pass on few messages at once, before anything has arrived. grpc-js decodes every message of a chunk
 * before anything else can happen, and 3,276 empty ones fit into a frame. It takes the next chunk when all of them were
 * read. So what is read slowly is decoded slowly too.
 */
export function passOnFewMessages(stream: Pick<Readable, 'push'>): void {
  const ends = new Ends();
  const push = stream.push.bind(stream);
  stream.push = (chunk: Buffer | null) => {
    if (chunk === null || ends.isOne(chunk)) return push(chunk);
    let isMoreWanted = true;
    for (let from = 0; from < chunk.byteLength; ) {
      const end = ends.after(chunk, from);
      isMoreWanted = push(from === 0 && end === chunk.byteLength ? chunk : chunk.subarray(from, end));
      from = end;
    }
    return isMoreWanted;
  };
}
