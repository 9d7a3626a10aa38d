/**
 * Text for a terminal. Callers write keys, tags, holders and failures: a control character in them could move the
 * cursor or rewrite the screen.
 */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (char) => {
    const hex = (char.codePointAt(0) ?? 0).toString(16);
    return hex.length > 4 ? `\\u{${hex}}` : `\\u${hex.padStart(4, '0')}`;
  });
}

/** JSON that is safe for a terminal, and parses to the same value. */
export function printableJson(value: unknown): string {
  return JSON.stringify(value, undefined, 2)
    .split('\n')
    .map((line) => line.replaceAll(/[\p{Cc}\u2028\u2029]/gu, printable))
    .join('\n');
}
