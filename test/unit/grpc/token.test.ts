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
  it.each(['armed', 'quorum', 'local'] as const)('says of a lease by %s what is to be known', (kind) => {
    expect(decodeToken('', key, encodeToken(key, { ...token, kind }))).toEqual({ ...token, kind });
  });

  it('is ASCII of at most 128 bytes, however large its numbers are', () => {
    const text = encodeToken(key, { ...token, fence: Number.MAX_SAFE_INTEGER, leaseMs: 2 ** 40 });
    expect(text).toMatch(/^[\x21-\x7e]{1,128}$/);
    expect(decodeToken('', key, text)?.fence).toBe(Number.MAX_SAFE_INTEGER);
  });

  it('holds nothing for another key, nor for the same key in another namespace', () => {
    const text = encodeToken(key, token);
    expect(decodeToken('', keyOf('a namespace', 'another'), text)).toBeUndefined();
    expect(decodeToken('', keyOf('another', 'a key'), text)).toBeUndefined();
  });

  const secret = token.nonce;
  const chance = { nonce: () => secret };
  const LONGEST = 'x'.repeat(64);

  it('of an identity works for that one only, and one without identity for no caller that has one', () => {
    for (const identity of ['', 'checkout', 'check-out_2', LONGEST]) {
      const theirs = { ...token, nonce: mintNonce(chance, identity) };
      const text = encodeToken(key, theirs);
      expect(decodeToken(identity, key, text)).toEqual(theirs);
      for (const other of ['search', 'check', 'checkout2', '.', identity === '' ? 'checkout' : '']) {
        expect(decodeToken(other, key, text)).toBeUndefined();
      }
    }
  });

  it('with another identity written into it is the token of another nonce', () => {
    const text = encodeToken(key, { ...token, nonce: mintNonce(chance, 'checkout') });
    const rewritten = text.replace('.checkout', '.search');
    expect(decodeToken('search', key, rewritten)?.nonce).toBe(`${secret}.search`);
    expect(decodeToken('', key, text.replace('.checkout', ''))?.nonce).toBe(secret);
  });

  it('is of at most 128 bytes with the longest identity too', () => {
    const nonce = mintNonce(chance, LONGEST);
    const text = encodeToken(key, { ...token, nonce, fence: Number.MAX_SAFE_INTEGER, leaseMs: 2 ** 40 });
    expect(text).toMatch(/^[\x21-\x7e]{1,128}$/);
    expect(decodeToken(LONGEST, key, text)?.nonce).toBe(nonce);
  });

  const good = encodeToken(key, token);
  it.each([
    ['nothing', ''],
    ['words', 'let me in'],
    ['a later form', good.replace('d1.', 'd2.')],
    ['a kind that is none', good.replace('.a.', '.b.')],
    ['a nonce too short', good.slice(0, -1)],
    ['a nonce too long', `${good}A`],
    ['an identity that is none', `${good}.a b`],
    ['an identity too long', `${good}.${'x'.repeat(65)}`],
    ['two identities', `${good}.a.b`],
    ['an empty identity', `${good}.`],
    ['a line after it', `${good}\n`],
    ['no length', good.replace(/^(d1\.a\.\w+)\.\w+\./, '$1.0.')],
    ['a fence beyond what is exact', good.replace(/^d1\.a\.\w+/, 'd1.a.zzzzzzzzzzz')],
    ['something before it', ` ${good}`],
  ])('refuses %s', (_what, text) => {
    expect(text).not.toBe(good);
    expect(decodeToken('', key, text)).toBeUndefined();
  });
});
