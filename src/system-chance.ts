import { randomBytes } from 'node:crypto';
import type { Chance } from './coordination/ports/clock.js';

/** The machine's randomness: unguessable where necessary, cheap elsewhere. */
export class SystemChance implements Chance {
  fraction(): number {
    return Math.random();
  }

  nonce(): string {
    return randomBytes(16).toString('base64url');
  }
}
