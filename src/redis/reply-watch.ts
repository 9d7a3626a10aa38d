import type { Redis } from 'ioredis';

/** A reply slower than 64 KiB a second counts as missing. */
const BYTES_PER_MS_MIN = (64 * 1024) / 1_000;

/** Watches the open requests of one connection: how long its oldest reply has made no progress. */
export class ReplyWatch {
  #oldest: unknown;
  #bytes = 0;
  #silentMs = 0;

  /** `heard` is called whenever anything arrives. */
  constructor(
    private readonly client: Redis,
    private readonly heard: () => void,
  ) {
    client.on('connect', () => this.#listen());
    if (client.status === 'connect' || client.status === 'ready') this.#listen();
  }

  /** Whether a request or a handshake has no reply yet. */
  get owes(): boolean {
    return this.client.commandQueue.length > 0;
  }

  /**
   * This much running time has passed. Returns for how much of it the oldest reply has made no progress. A large reply
   * makes progress with each byte, so it may take as long as it needs.
   */
  passed(ms: number): number {
    const oldest = this.client.commandQueue.peekFront();
    const isNew = oldest !== this.#oldest;
    this.#oldest = oldest;
    const waitedMs = this.#silentMs + ms - this.#bytes / BYTES_PER_MS_MIN;
    this.#silentMs = oldest === undefined || isNew ? 0 : Math.max(0, waitedMs);
    this.#bytes = 0;
    return this.#silentMs;
  }

  /** Breaks the connection. ioredis rejects the open requests and reconnects. */
  cut(why: string): void {
    this.#silentMs = 0;
    this.client.stream.destroy(new Error(why));
  }

  #listen(): void {
    this.client.stream.on('data', (chunk: Buffer) => {
      this.#bytes += chunk.length;
      this.heard();
    });
  }
}
