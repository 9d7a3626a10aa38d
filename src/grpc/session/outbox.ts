import type { SessionEvent, SessionReply, SessionResponse } from '../generated/dibs/v1/coordinator.js';

/** What a session's stream is asked here. */
export interface MessageStream {
  /** False: it holds as much as it should, and says `drain` when it has got rid of that. */
  write(message: SessionResponse): boolean;
  once(event: 'drain', listener: () => void): unknown;
}

/** A message of the contract is no larger, unless it carries a single reply. */
const MESSAGE_BYTES_MAX = 1_048_576;
/** Besides its value a reply has keys, texts and numbers, which are bounded. */
const REPLY_BYTES = 64;

/**
 * What is to be sent on one session: everything that gathers in one turn of the event loop leaves in one
 * message. A reader that is slow is waited for.
 */
export class Outbox {
  #replies: SessionReply[] = [];
  /** Of the values in the replies, one by one. */
  #valueBytes: number[] = [];
  #events: SessionEvent[] = [];
  #planned = false;
  #held = false;
  #onFree: (() => void)[] = [];

  /** `holding` hears when the reader falls behind, and when it has caught up. */
  constructor(
    private readonly stream: MessageStream,
    private readonly holding: (held: boolean) => void,
  ) {}

  reply(reply: SessionReply, valueBytes: number): void {
    this.#replies.push(reply);
    this.#valueBytes.push(valueBytes);
    this.#plan();
  }

  event(event: NonNullable<SessionEvent['event']>): void {
    this.#events.push({ event });
    this.#plan();
  }

  /** Sends what is there now, first of all `welcome`. */
  welcome(welcome: SessionResponse['welcome']): void {
    this.#write({ welcome, replies: [], events: [] });
  }

  /** Resolves once everything so far has been handed to the transport. */
  async flushed(): Promise<void> {
    this.#flush();
    if (this.#held) await new Promise<void>((resolve) => this.#onFree.push(resolve));
  }

  #plan(): void {
    if (this.#planned || this.#held) return;
    this.#planned = true;
    setImmediate(() => {
      this.#planned = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (!this.#held && this.#replies.length + this.#events.length > 0) {
      const replies = this.#take();
      const events = this.#events;
      this.#events = [];
      this.#write({ welcome: undefined, replies, events });
    }
  }

  /** As many replies as one message may carry, and at least one. */
  #take(): SessionReply[] {
    let bytes = 0;
    let count = 0;
    for (const valueBytes of this.#valueBytes) {
      bytes += REPLY_BYTES + valueBytes;
      if (count > 0 && bytes > MESSAGE_BYTES_MAX) break;
      count += 1;
    }
    const taken = this.#replies.slice(0, count);
    this.#replies = this.#replies.slice(count);
    this.#valueBytes = this.#valueBytes.slice(count);
    return taken;
  }

  #write(message: SessionResponse): void {
    if (this.stream.write(message)) return;
    this.#held = true;
    this.holding(true);
    this.stream.once('drain', () => {
      this.#held = false;
      this.holding(false);
      this.#flush();
      if (!this.#held) for (const free of this.#onFree.splice(0)) free();
    });
  }
}
