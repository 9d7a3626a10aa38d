import type { Redis } from 'ioredis';

/**
 * Everything sent in one turn of the event loop leaves in one write, in order: half the CPU with many keys at once.
 * ioredis's own pipelining would delay a release behind an acquire that hangs.
 */
export class OneWrite {
  #gathering = false;

  /** Must be called before something is sent on `stream`. */
  gather(stream: Redis['stream'] | undefined): void {
    if (this.#gathering || stream === undefined) return;
    this.#gathering = true;
    stream.cork();
    process.nextTick(() => {
      this.#gathering = false;
      stream.uncork();
    });
  }
}
