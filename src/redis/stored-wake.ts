import type { WokenValue } from '../coordination/ports/wake-channel.js';

const PREFIX = Buffer.from('value:');
const COLON = 0x3a;

/** A wake with what was stored. */
export interface StoredWake {
  /** The wake without the value, as it follows in the next message. */
  readonly plain: string;
  /** Undefined if the rest of the message is not as the script publishes it. */
  decode(storedAfterMs: number): WokenValue | undefined;
}

/**
 * `value:published:FENCE:ID:KIND:TTL_MS:STALE_MS:MEAN_US:DEVIATION_US:CLOCK:LENGTH:TAGSVALUE`, as the script
 * publishes it: LENGTH is that of the tags' JSON in bytes, and the value's bytes are the rest. Undefined for anything else.
 * Only its first part is read at once.
 */
export function parseStoredWake(message: Buffer): StoredWake | undefined {
  if (message[5] !== COLON || message.compare(PREFIX, 0, 6, 0, 6) !== 0) return undefined;
  const end = afterColons(message, 6, 3) - 1;
  if (end < 0) return undefined;
  return {
    plain: message.toString('latin1', 6, end),
    decode: (storedAfterMs) => decodeValue(message, end + 1, storedAfterMs),
  };
}

const FACTS = /^(value|absent):(\d{1,16}):(\d{1,16}):(\d{1,16}):(\d{1,16}):([^:]*):(\d{1,9}):$/;

function decodeValue(message: Buffer, start: number, storedAfterMs: number): WokenValue | undefined {
  const factsEnd = afterColons(message, start, 7);
  if (factsEnd < 0) return undefined;
  const facts = FACTS.exec(message.toString('latin1', start, factsEnd));
  if (facts === null) return undefined;
  const [, kind, ttlMs, staleMs, meanUs, deviationUs, clock = '', length] = facts;
  const tagsEnd = factsEnd + Number(length);
  const tags = tagsIn(message.toString('utf8', factsEnd, tagsEnd));
  if (tags === undefined || tagsEnd > message.length) return undefined;
  return {
    // A copy: the message is a window on the socket's whole read.
    payload:
      kind === 'value' ? { kind, bytes: new Uint8Array(message.subarray(tagsEnd)) } : { kind: 'absent' },
    ttlMs: Number(ttlMs),
    staleMs: Number(staleMs),
    tags,
    clock,
    rebuild: { meanMs: Number(meanUs) / 1000, deviationMs: Number(deviationUs) / 1000 },
    storedAfterMs,
  };
}

/** The position after the given number of colons, counted from `start`; -1 if there are fewer. */
function afterColons(message: Buffer, start: number, colons: number): number {
  let at = start;
  for (let found = 0; found < colons; found += 1) {
    at = message.indexOf(COLON, at) + 1;
    if (at === 0) return -1;
  }
  return at;
}

/** JSON with anything else than texts in it is none of ours. */
export function tagsIn(json: string): string[] | undefined {
  try {
    const tags = JSON.parse(json) as unknown;
    return Array.isArray(tags) && tags.every((tag) => typeof tag === 'string') ? tags : undefined;
  } catch {
    // Another program publishes on our channel: this is no wake.
    return undefined;
  }
}
