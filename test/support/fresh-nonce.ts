import { mintNonce } from '../../src/coordination/leasing/nonce.js';
import { SystemChance } from '../../src/system-chance.js';

const LONGEST_IDENTITY = 'Longest-identity_'.padEnd(64, '0');

/** A nonce that was never used, as long as they get. */
export function freshNonce(): string {
  return mintNonce(new SystemChance(), LONGEST_IDENTITY);
}
