import { expect, it } from 'vitest';
import { printable, printableJson } from '../../../src/cli/printable.js';

it('text of any language stays as it is', () => {
  expect(printable('user:42 – Ürgüp 🦜 價格')).toBe('user:42 – Ürgüp 🦜 價格');
});

it.each([
  ['a\u001b[2Jb', 'a\\u001b[2Jb'],
  ['a\nb\tc', 'a\\u000ab\\u0009c'],
  ['\u009b31m', '\\u009b31m'],
  ['a\u202eb', 'a\\u202eb'],
  ['\u{e0041}', '\\u{e0041}'],
])('characters that would move the cursor or reverse the text are escaped', (text, shown) => {
  expect(printable(text)).toBe(shown);
});

it('JSON keeps its meaning, without control characters', () => {
  const value = { key: 'a\u001b\u009b2J\u2028', list: ['🦜'] };
  const text = printableJson(value);
  expect(JSON.parse(text)).toEqual(value);
  expect(text.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
});
