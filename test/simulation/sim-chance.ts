import type { Chance } from '../../src/coordination/ports/clock.js';
import { SeededRandom } from '../support/seeded-random.js';

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** All random numbers of a simulated world, from one seed. */
export class SimChance extends SeededRandom implements Chance {
  #nonces = 0;

  nonce(): string {
    this.#nonces += 1;
    let nonce = this.#nonces.toString(36).padStart(6, '0');
    while (nonce.length < 22) nonce += LETTERS[this.below(64)];
    return nonce;
  }

  /** True with probability `share`. */
  hits(share: number): boolean {
    return this.fraction() < share;
  }

  between(from: number, to: number): number {
    return from + this.fraction() * (to - from);
  }

  /** A message's latency, with at most `slowMs` added. In halves of a millisecond, so that messages coincide. */
  latencyMs(slowMs: number): number {
    const halves = 1 + this.below(3) + (slowMs > 0 ? this.below(slowMs * 2) : 0);
    return halves / 2;
  }
}

/** No randomness: the middle of every range, the first of every choice, and messages that take no time. */
export class NoChance extends SimChance {
  #count = 0;

  constructor(private readonly owner: string) {
    super(0);
  }

  override fraction(): number {
    return 0.5;
  }

  override below(): number {
    return 0;
  }

  override nonce(): string {
    this.#count += 1;
    return `${this.owner}x${this.#count}`.padEnd(22, '_');
  }

  override hits(share: number): boolean {
    return share > 0.5;
  }

  override latencyMs(): number {
    return 0;
  }
}
