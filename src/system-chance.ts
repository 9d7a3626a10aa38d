import { randomBytes } from 'node:crypto';
import type { Chance } from './coordination/clock.js';

/** The machine's chance: unguessable where it has to be, and cheap where not. */
export class SystemChance implements Chance {
  fraction(): number {
    return Math.random();
  }

  nonce(): string {
    return randomBytes(16).toString('base64url');
  }
}
