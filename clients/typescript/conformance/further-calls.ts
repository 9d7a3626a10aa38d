import type { DibsClient } from '../src/client.js';
import { bytes as asBytes, json } from '../src/codec.js';
import type { GetOptions, RebuildManyContext, SetOptions } from '../src/options.js';
import type { Explanation } from '../src/outcomes.js';

type Fields = Record<string, unknown>;

/** Without a codec values are bytes; with `json` they are texts. */
const isJson = ({ codec }: Fields): boolean => codec === 'json';

const base64 = (value: Uint8Array | string): string => Buffer.from(value).toString('base64');

/** `get`: a value, the knowledge that there is none, or nothing. */
export async function get(client: DibsClient, fields: Fields, options: GetOptions): Promise<object> {
  const key = String(fields.key);
  const value = isJson(fields)
    ? await client.get(key, { ...options, codec: json<string>() })
    : await client.get(key, { ...options, codec: asBytes() });
  if (value === undefined) return { found: 'nothing' };
  return value === null ? { found: 'absent' } : { found: 'value', value: base64(value) };
}

/** `set`: the result of the publish. */
export async function set(client: DibsClient, fields: Fields, options: SetOptions): Promise<object> {
  const key = String(fields.key);
  const bytes = fields.absent === true ? null : Buffer.from(String(fields.value), 'base64');
  const { outcome, stored } = isJson(fields)
    ? await client.set(key, bytes?.toString() ?? null, { ...options, codec: json<string>() })
    : await client.set(key, bytes, { ...options, codec: asBytes() });
  return { outcome, stored };
}

/** What a scenario defines for a rebuild of several keys, in addition to a rebuild of one. */
export interface ManyScript {
  /** Base64, or null for nothing. A key that is neither here nor covered by `each` is left out. */
  readonly values?: Readonly<Record<string, string | null>>;
  /** The value of every other key. */
  readonly each?: string;
  /** The options of single keys. */
  readonly of?: Readonly<
    Record<
      string,
      {
        readonly ttl_ms?: number;
        readonly stale_ms?: number;
        readonly tags?: string[];
        readonly do_not_store?: boolean;
      }
    >
  >;
}

/** The values of these keys, as the script defines them. */
export function valuesOf(
  { values = {}, each, of = {} }: ManyScript,
  keys: readonly string[],
  context: Pick<RebuildManyContext<unknown>, 'storeWith' | 'doNotStore'>,
): Map<string, Buffer | null> {
  for (const key of keys) {
    const { ttl_ms, stale_ms, tags, do_not_store } = of[key] ?? {};
    context.storeWith(key, {
      ...(ttl_ms === undefined ? {} : { ttlMs: ttl_ms }),
      ...(stale_ms === undefined ? {} : { staleMs: stale_ms }),
      ...(tags === undefined ? {} : { tags }),
    });
    if (do_not_store === true) context.doNotStore(key);
  }
  const known = keys.flatMap((key) => {
    const value = values[key] === undefined ? each : values[key];
    return value === undefined ? [] : [[key, value && Buffer.from(value, 'base64')] as const];
  });
  return new Map(known.map(([key, value]) => [key, value === '' ? Buffer.alloc(0) : value]));
}

/** An explanation with the names and the shape of the contract's message in JSON. */
export function asProtoJson({ lease, value, pastLeases, degraded, ...explained }: Explanation): object {
  const named = (prefix: string, word: string) => `${prefix}_${word.toUpperCase()}`;
  return {
    ...explained,
    lease: lease && { ...lease, reason: named('LEASE_REASON', lease.reason) },
    value: value && { ...value, freshness: named('FRESHNESS', value.freshness) },
    pastLeases: pastLeases.map((past) => ({ ...past, end: named('LEASE_END', past.end) })),
    degraded: named('DEGRADED', degraded),
  };
}
