import { randomBytes } from 'node:crypto';
import type { Chance } from './coordination/ports/clock.js';

const NONCE_BYTES = 16;
/** This many are drawn at once, because one draw costs several times as much as the rest of a nonce. */
const NONCES = 128;

/** The machine's randomness: unguessable where necessary, cheap elsewhere. */
export class SystemChance implements Chance {
  #drawn = Buffer.alloc(0);
  #at = 0;

  fraction(): number {
    return Math.random();
  }

  nonce(): string {
    if (this.#at === this.#drawn.length) {
      this.#drawn = randomBytes(NONCES * NONCE_BYTES);
      this.#at = 0;
    }
    const from = this.#at;
    this.#at += NONCE_BYTES;
    const nonce = this.#drawn.toString('base64url', from, this.#at);
    // What was given out does not stay here.
    this.#drawn.fill(0, from, this.#at);
    return nonce;
  }
}
