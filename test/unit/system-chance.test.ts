import { expect, test } from 'vitest';
import { SystemChance } from '../../src/system-chance.js';

const chance = new SystemChance();

test('a nonce is 128 bits in 22 characters, never the same twice', () => {
  const nonces = Array.from({ length: 1000 }, () => chance.nonce());
  for (const nonce of nonces) expect(nonce).toMatch(/^[A-Za-z0-9_-]{22}$/);
  expect(Buffer.from(nonces[0] ?? '', 'base64url')).toHaveLength(16);
  expect(new Set(nonces).size).toBe(nonces.length);
});

test('a fraction is at least 0 and below 1', () => {
  const fractions = Array.from({ length: 1000 }, () => chance.fraction());
  expect(Math.min(...fractions)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...fractions)).toBeLessThan(1);
  expect(new Set(fractions).size).toBeGreaterThan(900);
});
