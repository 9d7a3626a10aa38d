/** The contract's bound. */
const BYTES_MAX = 4_096;

/** What the waiters are told of an error: its message, cut to the contract's bound between two characters. */
export function failureMessage(error: unknown): string {
  const bytes = Buffer.from(error instanceof Error ? error.message : String(error), 'utf8');
  if (bytes.length <= BYTES_MAX) return bytes.toString('utf8');
  let end = BYTES_MAX;
  // The bytes of a character after its first begin with the bits 10.
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString('utf8', 0, end);
}
