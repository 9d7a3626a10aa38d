/** The hash that holds the record of a key. The braces make the id its cluster slot, whatever it contains. */
export function recordKey(id: string): string {
  return `dibs:{${id}}`;
}

/** The pub/sub channel on the value store that every replica listens to. */
export const WAKE_CHANNEL = 'dibs:wake';
