import type { Lease } from '../../src/coordination/words/outcome.js';

/** Returns a lease for tests of the edge, which only passes it on. */
export function someLease(identity = ''): Lease {
  const nonce = `${'x'.repeat(22)}${identity && `.${identity}`}`;
  const token = { kind: 'armed', nonce, fence: 1, leaseMs: 9 } as const;
  return { kind: 'lease', token, fence: 1, expiresInMs: 9, reason: 'miss', owner: 1 };
}
