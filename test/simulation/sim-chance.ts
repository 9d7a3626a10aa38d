import type { Chance } from '../../src/coordination/ports/clock.js';
import { SeededRandom } from '../support/seeded-random.js';

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** Every draw of a simulated world, from one seed. */
export class SimChance extends SeededRandom implements Chance {
  #nonces = 0;

  nonce(): string {
    this.#nonces += 1;
    const count = this.#nonces.toString(36).padStart(6, '0');
    return count + Array.from({ length: 16 }, () => LETTERS[this.below(64)]).join('');
  }

  /** True in `share` of all cases. */
  hits(share: number): boolean {
    return this.fraction() < share;
  }

  between(from: number, to: number): number {
    return from + this.fraction() * (to - from);
  }
}
