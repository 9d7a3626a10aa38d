import { mintNonce } from '../../src/coordination/leasing/nonce.js';
import { SystemChance } from '../../src/system-chance.js';

const LONGEST_IDENTITY = 'Longest-identity_'.padEnd(64, '0');

/** Returns a new nonce of the greatest length. */
export function freshNonce(): string {
  return mintNonce(new SystemChance(), LONGEST_IDENTITY);
}
