/**
 * Text for a terminal. Keys, tags, holders and failures are what some caller wrote: a control character among
 * them could move the cursor or rewrite what is on the screen.
 */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (char) => {
    const hex = (char.codePointAt(0) ?? 0).toString(16);
    return hex.length > 4 ? `\\u{${hex}}` : `\\u${hex.padStart(4, '0')}`;
  });
}

/** JSON that a terminal can show as well: still the same to whoever parses it. */
export function printableJson(value: unknown): string {
  return JSON.stringify(value, undefined, 2)
    .split('\n')
    .map((line) => line.replaceAll(/[\p{Cc}\u2028\u2029]/gu, printable))
    .join('\n');
}
