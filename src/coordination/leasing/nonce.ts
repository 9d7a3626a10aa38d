import type { Chance } from '../ports/clock.js';

/**
 * A lease's secret, then a dot and the identity that it is granted to. Without authentication there is neither dot nor
 * identity. Store and lock nodes compare the whole text, so with another identity it matches no lease.
 */
export function mintNonce(chance: Pick<Chance, 'nonce'>, identity: string): string {
  const secret = chance.nonce();
  return identity === '' ? secret : `${secret}.${identity}`;
}

/** The identity that a lease with this nonce was granted to; empty without one. */
export function identityIn(nonce: string): string {
  const [, identity = ''] = nonce.split('.');
  return identity;
}
