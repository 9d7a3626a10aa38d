import type { Chance } from '../ports/clock.js';
import type { Key } from '../words/key.js';
import type { Token } from '../words/token.js';

const KINDS = { armed: 'a', quorum: 'q', local: 'l' } as const;
const KIND_OF = { a: 'armed', q: 'quorum', l: 'local' } as const;
const FORM =
  /^d1\.([aql])\.([0-9a-z]{1,11})\.([0-9a-z]{1,8})\.([0-9a-z]{1,7})\.([A-Za-z0-9_-]{22}(?:\.[A-Za-z0-9_-]{1,64})?)$/;

/**
 * A lease's secret, with the identity that it is given to behind a dot; without one while authentication is off.
 * Store and lock nodes compare all of it, so that another name behind the dot makes it another lease's.
 */
export function mintNonce(chance: Pick<Chance, 'nonce'>, identity: string): string {
  const secret = chance.nonce();
  return identity === '' ? secret : `${secret}.${identity}`;
}

/** Opaque ASCII of at most 128 bytes, bound to its key. */
export function encodeToken(key: Key, token: Token): string {
  const numbers = `${token.fence.toString(36)}.${token.leaseMs.toString(36)}.${checkOf(key).toString(36)}`;
  return `d1.${KINDS[token.kind]}.${numbers}.${token.nonce}`;
}

/** Undefined for garbage and for a token of another key: both hold nothing here. */
export function decodeToken(key: Key, text: string): Token | undefined {
  const [, kind, fence, leaseMs, check, nonce] = FORM.exec(text) ?? [];
  if (kind === undefined || fence === undefined || leaseMs === undefined || nonce === undefined)
    return undefined;
  if (Number.parseInt(check ?? '', 36) !== checkOf(key)) return undefined;
  const token = {
    kind: KIND_OF[kind as keyof typeof KIND_OF],
    nonce,
    fence: Number.parseInt(fence, 36),
    leaseMs: Number.parseInt(leaseMs, 36),
  };
  return Number.isSafeInteger(token.fence) && token.leaseMs > 0 ? token : undefined;
}

/** As {@link decodeToken}; undefined also for the lease of another identity, which holds nothing for this one. */
export function decodeTokenOf(identity: string, key: Key, text: string): Token | undefined {
  const token = decodeToken(key, text);
  const [, owner = ''] = token?.nonce.split('.') ?? [];
  return owner === identity ? token : undefined;
}

/** FNV-1a, 32 bits (Fowler, Noll, Vo): tells keys apart, protects nothing. */
function checkOf(key: Key): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < key.id.length; at += 1) {
    hash = Math.imul(hash ^ key.id.charCodeAt(at), 0x01000193);
  }
  return hash >>> 0;
}
