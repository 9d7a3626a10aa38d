import { describe, expect, it } from 'vitest';
import { mintNonce } from '../../../src/coordination/leasing/nonce.js';
import { keyOf } from '../../../src/coordination/words/key.js';
import type { Token } from '../../../src/coordination/words/token.js';
import { decodeToken, encodeToken } from '../../../src/grpc/token.js';

const key = keyOf('a namespace', 'a key');
const token: Token = {
  kind: 'armed',
  nonce: 'aB3-_9aB3-_9aB3-_9aB3-',
  fence: 1_800_000_000_000_000,
  leaseMs: 10_000,
};

describe('a token', () => {
  it.each(['armed', 'quorum', 'local'] as const)('of a lease by %s is decoded as it was encoded', (kind) => {
    expect(decodeToken('', key, encodeToken(key, { ...token, kind }))).toEqual({ ...token, kind });
  });

  it('is ASCII of at most 128 bytes, however large its numbers are', () => {
    const text = encodeToken(key, { ...token, fence: Number.MAX_SAFE_INTEGER, leaseMs: 2 ** 40 });
    expect(text).toMatch(/^[\x21-\x7e]{1,128}$/);
    expect(decodeToken('', key, text)?.fence).toBe(Number.MAX_SAFE_INTEGER);
  });

  it('is invalid for another key, and for the same key in another namespace', () => {
    const text = encodeToken(key, token);
    expect(decodeToken('', keyOf('a namespace', 'another'), text)).toBeUndefined();
    expect(decodeToken('', keyOf('another', 'a key'), text)).toBeUndefined();
  });

  const secret = token.nonce;
  const chance = { nonce: () => secret };
  const LONGEST = 'x'.repeat(64);

  it('works only for the identity that it was made for', () => {
    for (const identity of ['', 'checkout', 'check-out_2', LONGEST]) {
      const theirs = { ...token, nonce: mintNonce(chance, identity) };
      const text = encodeToken(key, theirs);
      expect(decodeToken(identity, key, text)).toEqual(theirs);
      for (const other of ['search', 'check', 'checkout2', '.', identity === '' ? 'checkout' : '']) {
        expect(decodeToken(other, key, text)).toBeUndefined();
      }
    }
  });

  it('with its identity replaced is the token of another nonce', () => {
    const text = encodeToken(key, { ...token, nonce: mintNonce(chance, 'checkout') });
    const rewritten = text.replace('.checkout', '.search');
    expect(decodeToken('search', key, rewritten)?.nonce).toBe(`${secret}.search`);
    expect(decodeToken('', key, text.replace('.checkout', ''))?.nonce).toBe(secret);
  });

  it('has at most 128 bytes, even with the longest identity', () => {
    const nonce = mintNonce(chance, LONGEST);
    const text = encodeToken(key, { ...token, nonce, fence: Number.MAX_SAFE_INTEGER, leaseMs: 2 ** 40 });
    expect(text).toMatch(/^[\x21-\x7e]{1,128}$/);
    expect(decodeToken(LONGEST, key, text)?.nonce).toBe(nonce);
  });

  const good = encodeToken(key, token);
  it.each([
    ['an empty text', ''],
    ['words', 'let me in'],
    ['a later version', good.replace('d1.', 'd2.')],
    ['an unknown kind', good.replace('.a.', '.b.')],
    ['a nonce too short', good.slice(0, -1)],
    ['a nonce too long', `${good}A`],
    ['an invalid identity', `${good}.a b`],
    ['an identity too long', `${good}.${'x'.repeat(65)}`],
    ['two identities', `${good}.a.b`],
    ['an empty identity', `${good}.`],
    ['a line after the token', `${good}\n`],
    ['no length', good.replace(/^(d1\.a\.\w+)\.\w+\./, '$1.0.')],
    ['a fence beyond 2^53', good.replace(/^d1\.a\.\w+/, 'd1.a.zzzzzzzzzzz')],
    ['something before the token', ` ${good}`],
  ])('refuses %s', (_what, text) => {
    expect(text).not.toBe(good);
    expect(decodeToken('', key, text)).toBeUndefined();
  });
});
