import type { SessionEvent, SessionReply, SessionResponse } from '../generated/dibs/v1/coordinator.js';
import { onceATurn } from '../once-a-turn.js';
import { Events } from './events.js';

/** The part of a session's stream that is used here. */
export interface MessageStream {
  /** False: its buffer is full, and it emits `drain` when it is not. */
  write(message: SessionResponse): boolean;
  once(event: 'drain', listener: () => void): unknown;
}

/** The largest message of the contract, unless it has a single reply. */
const MESSAGE_BYTES_MAX = 1_048_576;
/** The bounded part of a reply without its value: keys, texts and numbers. */
const REPLY_BYTES = 64;

/**
 * The outgoing messages of one session. Everything from one turn of the event loop leaves in one message. A slow reader
 * is waited for.
 */
export class Outbox {
  #replies: SessionReply[] = [];
  /** The size of the values in each reply. */
  #valueBytes: number[] = [];
  readonly #events = new Events();
  readonly #flushLater: () => void;
  #held = false;
  #onFree: (() => void)[] = [];

  /** `holding` is called when the reader falls behind, and when it has caught up. */
  constructor(
    private readonly stream: MessageStream,
    private readonly holding: (held: boolean) => void,
    /** Not the clock's `turn`: a hit in memory costs no promise. */
    atEndOfTurn?: (flush: () => void) => void,
  ) {
    this.#flushLater = onceATurn(() => this.#flush(), atEndOfTurn);
  }

  reply(reply: SessionReply, valueBytes: number): void {
    this.#replies.push(reply);
    this.#valueBytes.push(valueBytes);
    this.#plan();
  }

  event(event: NonNullable<SessionEvent['event']>): void {
    this.#events.add(event);
    this.#plan();
  }

  /** Sends everything now, beginning with `welcome`. */
  welcome(welcome: SessionResponse['welcome']): void {
    this.#write({ welcome, replies: [], events: [] });
  }

  /** Resolves when the transport has everything so far. */
  async flushed(): Promise<void> {
    this.#flush();
    if (this.#held) await new Promise<void>((resolve) => this.#onFree.push(resolve));
  }

  #plan(): void {
    if (!this.#held) this.#flushLater();
  }

  #flush(): void {
    while (!this.#held && this.#replies.length + this.#events.size > 0) {
      const events = this.#events.take();
      // A reply must not overtake an event from before it.
      const replies = this.#events.size > 0 ? [] : this.#nextReplies();
      this.#write({ welcome: undefined, replies, events });
    }
  }

  /** As many replies as one message may carry, and at least one. */
  #nextReplies(): SessionReply[] {
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
