/** The contract's bound. */
const BYTES_MAX = 4_096;
const BACKOFF_MS_MAX = 300_000;

/**
 * The message of an error for the waiters, cut to the contract's bound between two characters. It never throws, because
 * an error may have an unreadable message.
 */
export function failureMessage(error: unknown): string {
  const bytes = Buffer.from(textOf(error), 'utf8');
  if (bytes.length <= BYTES_MAX) return bytes.toString('utf8');
  let end = BYTES_MAX;
  // The bytes of a character after its first begin with the bits 10.
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString('utf8', 0, end);
}

/** An error may set how long to leave the source alone, in milliseconds up to 300000. */
export function askedBackoffMs(error: unknown): number | undefined {
  try {
    const { retryAfterMs: ms } = (error ?? {}) as { retryAfterMs?: unknown };
    if (typeof ms !== 'number' || !(ms >= 0 && ms <= BACKOFF_MS_MAX)) return undefined;
    return Math.floor(ms);
  } catch {
    // A getter that throws sets nothing.
    return undefined;
  }
}

function textOf(error: unknown): string {
  try {
    if (typeof error === 'object' && error !== null) {
      const { message } = error as { message?: unknown };
      if (typeof message === 'string') return message;
      const text = String(error);
      return text.startsWith('[object ') ? JSON.stringify(error) : text;
    }
    return String(error);
  } catch {
    return 'the rebuild failed with an error that cannot be read';
  }
}
