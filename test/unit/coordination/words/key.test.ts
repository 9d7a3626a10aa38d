import { describe, expect, it } from 'vitest';
import { keyFromId, keyOf, namespaceFromId } from '../../../../src/coordination/words/key.js';

describe('a key', () => {
  it.each(['a', 'mit Leerzeichen', '{braces}', 'zwei\nZeilen', '💚', '*', 'a:b', '\u0000'])(
    'of %j has an id without special characters, from which it can be decoded',
    (key) => {
      const { id } = keyOf('a.name-space_1', key);
      expect(id).toMatch(/^[A-Za-z0-9_-]+$/);
      expect(keyFromId(id)).toEqual({ namespace: 'a.name-space_1', key, id });
    },
  );

  it('has a different id in each namespace', () => {
    expect(keyOf('a', 'b').id).not.toBe(keyOf('ab', '').id);
    expect(keyOf('a', 'b').id).not.toBe(keyOf('default', 'b').id);
  });
});

it.each(['n', 'a.b_c-9', 'x'.repeat(64)])('the namespace %s can be read from an id', (namespace) => {
  for (const key of ['k', 'ü{}\n', 'long'.repeat(256)]) {
    expect(namespaceFromId(keyOf(namespace, key).id)).toBe(namespace);
  }
});
