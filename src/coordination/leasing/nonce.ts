import type { Chance } from '../ports/clock.js';

/**
 * A lease's secret, with the identity that it is given to behind a dot; without one while authentication is off.
 * Store and lock nodes compare all of it, so another name behind the dot makes it the nonce of no lease.
 */
export function mintNonce(chance: Pick<Chance, 'nonce'>, identity: string): string {
  const secret = chance.nonce();
  return identity === '' ? secret : `${secret}.${identity}`;
}

/** The identity that a lease with this nonce was given to; empty without one. */
export function identityIn(nonce: string): string {
  const [, identity = ''] = nonce.split('.');
  return identity;
}
