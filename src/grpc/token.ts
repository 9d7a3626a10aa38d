import { identityIn } from '../coordination/leasing/nonce.js';
import type { Key } from '../coordination/words/key.js';
import type { Token } from '../coordination/words/token.js';

const KINDS = { armed: 'a', quorum: 'q', local: 'l' } as const;
const KIND_OF = { a: 'armed', q: 'quorum', l: 'local' } as const;
const FORM =
  /^d1\.([aql])\.([0-9a-z]{1,11})\.([0-9a-z]{1,8})\.([0-9a-z]{1,7})\.([A-Za-z0-9_-]{22}(?:\.[A-Za-z0-9_-]{1,64})?)$/;

/** Opaque ASCII of at most 128 bytes, bound to its key. */
export function encodeToken(key: Key, token: Token): string {
  const numbers = `${token.fence.toString(36)}.${token.leaseMs.toString(36)}.${checkOf(key).toString(36)}`;
  return `d1.${KINDS[token.kind]}.${numbers}.${token.nonce}`;
}

/** Undefined for garbage, for a token of another key and for one of another identity: they hold nothing here. */
export function decodeToken(identity: string, key: Key, text: string): Token | undefined {
  const [, kind, fence, leaseMs, check, nonce] = FORM.exec(text) ?? [];
  if (kind === undefined || fence === undefined || leaseMs === undefined || nonce === undefined)
    return undefined;
  if (Number.parseInt(check ?? '', 36) !== checkOf(key)) return undefined;
  if (identityIn(nonce) !== identity) return undefined;
  const token = {
    kind: KIND_OF[kind as keyof typeof KIND_OF],
    nonce,
    fence: Number.parseInt(fence, 36),
    leaseMs: Number.parseInt(leaseMs, 36),
  };
  return Number.isSafeInteger(token.fence) && token.leaseMs > 0 ? token : undefined;
}

/** FNV-1a, 32 bits (Fowler, Noll, Vo): tells keys apart, protects nothing. */
function checkOf(key: Key): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < key.id.length; at += 1) {
    hash = Math.imul(hash ^ key.id.charCodeAt(at), 0x01000193);
  }
  return hash >>> 0;
}
