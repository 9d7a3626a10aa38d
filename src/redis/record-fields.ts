import type { ArmRequest, ReadRequest } from '../coordination/ports/value-store.js';
import type { LeaseEnd, LeaseReason, Payload } from '../coordination/words/outcome.js';
import type {
  ArmedLease,
  KeyRecord,
  LeaseLabels,
  MeasuredRecord,
  PastLease,
  RebuildTimes,
  RecordFacts,
  StoredFailure,
  ValueFacts,
} from '../coordination/words/record.js';

/**
 * The fields of a record's hash except `value`, in the order in which the scripts read them with HMGET. The script's
 * clock follows after them. layout.md says what each one holds.
 */
export const RECORD_FIELDS = [
  'fence',
  'value_fence',
  'published_at',
  'fresh_until',
  'servable_until',
  'last_end',
  'voided',
  'nonce',
  'lease_until',
  'armed_at',
  'owner',
  'alone',
  'lease',
  'failure',
  'failure_fence',
  'failure_until',
  'failure_count',
  'rebuild_mean',
  'rebuild_deviation',
  'value_clock',
  'tags',
  'failed_at',
  'failure_clock',
] as const;

/** The position of each field in a reply, followed by the clock. */
const AT = Object.fromEntries(RECORD_FIELDS.map((name, at) => [name, at])) as Record<
  (typeof RECORD_FIELDS)[number],
  number
>;
const CLOCK_AT = RECORD_FIELDS.length;
/** After the clock: the value's bytes or its size. */
const VALUE_AT = CLOCK_AT + 1;
const PAST_AT = VALUE_AT + 1;
/** In place of a value that the caller already has. */
const KNOWN = 1;
/** Of all fields but the value, with a lease and some tags. */
export const FIELDS_BYTES = 512;

/** What {@link RECORD_FIELDS} and the clock look like when they come back. */
export type RecordReply = readonly (Buffer | number | null)[];

/** The part of a lease that no script looks into: one field, written when it is armed. */
export function encodeLabels(labels: LeaseLabels): string {
  const { leaseMs, holder, traceparent, reason, requestKey } = labels;
  // Built by hand, because JSON.stringify costs 3 µs and these are usually plain letters.
  if (PLAIN.test(holder) && PLAIN.test(traceparent) && PLAIN.test(requestKey)) {
    return `{"leaseMs":${leaseMs},"holder":"${holder}","traceparent":"${traceparent}","reason":"${reason}","requestKey":"${requestKey}"}`;
  }
  return JSON.stringify({ leaseMs, holder, traceparent, reason, requestKey });
}

/** Of ASCII that JSON writes as it is. */
const PLAIN = /^[ !#-[\]-~]*$/;

/** As JSON, for later reads. */
export function encodeTags(tags: readonly string[]): string {
  return tags.length === 0 ? '[]' : JSON.stringify(tags);
}

/** The record with nothing but a lease that was just armed. */
export function firstLease(request: ArmRequest, fence: number): RecordFacts {
  const { nonce, expiresInMs, leaseMs, holder, traceparent, reason, requestKey, quorumLost } = request;
  // One by one: a spread behind other fields costs 1 µs.
  const lease: ArmedLease = {
    nonce,
    fence,
    expiresInMs,
    leaseMs,
    ageMs: 0,
    holder,
    traceparent,
    reason,
    requestKey,
    owner: 1,
    quorumLost,
  };
  return { fence, valueFence: 0, lease };
}

/** The reply of value-read. `known` is the value whose bytes the caller has. */
export function decodeRecord(reply: RecordReply, known?: ReadRequest['known']): KeyRecord {
  const facts = decodeValueFacts(reply);
  const value = facts && { ...facts, payload: payloadOf(reply[VALUE_AT], known) };
  return { ...decodeFacts(reply), value };
}

function payloadOf(value: RecordReply[number] | undefined, known: ReadRequest['known']): Payload {
  if (typeof value === 'number' && known !== undefined) return known.payload;
  return value instanceof Buffer ? { kind: 'value', bytes: ownBytes(value) } : { kind: 'absent' };
}

/**
 * About how many bytes a reply would have transferred with the value that it leaves out; 0 if the call had read enough.
 * Undefined if it leaves out nothing that was requested.
 */
export function bytesLeftOut(reply: RecordReply): number | undefined {
  const value = reply[VALUE_AT];
  if (typeof value !== 'number' || value === KNOWN) return undefined;
  return value === 0 ? 0 : value + FIELDS_BYTES;
}

/** About how many bytes a reply of value-read transferred; undefined if there was no value. */
export function bytesOf(reply: RecordReply | null, record: KeyRecord): number | undefined {
  if (reply === null || record.value === undefined) return undefined;
  const value = reply[VALUE_AT];
  return value instanceof Buffer ? value.length + FIELDS_BYTES : FIELDS_BYTES;
}

/** The reply of value-explain. */
export function decodeMeasured(reply: RecordReply): MeasuredRecord {
  const facts = decodeValueFacts(reply);
  const size = reply[VALUE_AT];
  const value = facts && { ...facts, sizeBytes: typeof size === 'number' ? size : undefined };
  return { ...decodeFacts(reply), value };
}

/** Times become relative to the script's clock, in milliseconds with fractions. */
export function decodeFacts(reply: RecordReply): RecordFacts {
  const nowUs = Number(reply[CLOCK_AT]);
  const fence = numberAt(reply, AT.fence);
  const lease = decodeLease(reply, nowUs, fence);
  const failure = decodeFailure(reply, nowUs, fence);
  const rebuild = decodeRebuild(reply);
  const lastEnd = textAt(reply, AT.last_end) as LeaseEnd | undefined;
  const voidedNonce = textAt(reply, AT.voided);
  return {
    fence,
    valueFence: numberAt(reply, AT.value_fence),
    lease,
    failure,
    rebuild,
    lastEnd,
    voidedNonce,
  };
}

function decodeValueFacts(reply: RecordReply): ValueFacts | undefined {
  const nowUs = Number(reply[CLOCK_AT]);
  const servableForMs = (numberAt(reply, AT.servable_until) - nowUs) / 1000;
  if (servableForMs <= 0) return undefined;
  const staleMs = (numberAt(reply, AT.servable_until) - numberAt(reply, AT.fresh_until)) / 1000;
  return {
    freshForMs: Math.max(0, (numberAt(reply, AT.fresh_until) - nowUs) / 1000),
    servableForMs,
    staleMs,
    ageMs: (nowUs - numberAt(reply, AT.published_at)) / 1000,
    fence: numberAt(reply, AT.value_fence),
    clock: textAt(reply, AT.value_clock) ?? '',
    tags: JSON.parse(textAt(reply, AT.tags) ?? '[]') as string[],
  };
}

function decodeLease(reply: RecordReply, nowUs: number, fence: number): ArmedLease | undefined {
  const nonce = textAt(reply, AT.nonce);
  const labels = textAt(reply, AT.lease);
  if (nonce === undefined || labels === undefined) return undefined;
  const { leaseMs, holder, traceparent, reason, requestKey } = JSON.parse(labels) as LeaseLabels;
  return {
    nonce,
    fence,
    expiresInMs: (numberAt(reply, AT.lease_until) - nowUs) / 1000,
    leaseMs,
    ageMs: (nowUs - numberAt(reply, AT.armed_at)) / 1000,
    holder,
    traceparent,
    reason: reason as LeaseReason,
    requestKey,
    owner: numberAt(reply, AT.owner),
    quorumLost: textAt(reply, AT.alone) === '1',
  };
}

function decodeFailure(reply: RecordReply, nowUs: number, fence: number): StoredFailure | undefined {
  const message = textAt(reply, AT.failure);
  if (message === undefined) return undefined;
  // A fence is the time of its lease, in microseconds. Once the clock was set back, fences are ahead of it.
  const triedAtUs = fence > nowUs ? numberAt(reply, AT.failed_at) : fence;
  return {
    message,
    fence: numberAt(reply, AT.failure_fence),
    retryAfterMs: Math.max(0, (numberAt(reply, AT.failure_until) - nowUs) / 1000),
    count: numberAt(reply, AT.failure_count),
    triedAgoMs: (nowUs - triedAtUs) / 1000,
    clock: textAt(reply, AT.failure_clock) ?? '',
  };
}

function decodeRebuild(reply: RecordReply): RebuildTimes | undefined {
  if (textAt(reply, AT.rebuild_mean) === undefined) return undefined;
  return {
    meanMs: numberAt(reply, AT.rebuild_mean) / 1000,
    deviationMs: numberAt(reply, AT.rebuild_deviation) / 1000,
  };
}

interface PastLine {
  readonly holder: string;
  readonly fence: string;
  readonly held_us: string;
  readonly ended_at: string;
  readonly end: LeaseEnd;
  readonly failure: string;
}

/** The last lines in the reply of value-explain. */
export function decodePast(reply: RecordReply): PastLease[] {
  const nowUs = Number(reply[CLOCK_AT]);
  const lines = textAt(reply, PAST_AT)?.split('\n') ?? [];
  return lines.map((line) => {
    const { holder, fence, held_us, ended_at, end, failure } = JSON.parse(line) as PastLine;
    const heldMs = Number(held_us) / 1000;
    return {
      holder,
      fence: Number(fence),
      heldMs,
      endedAgoMs: (nowUs - Number(ended_at)) / 1000,
      end,
      failure,
    };
  });
}

/** A small reply is a window on the socket's whole 64 KiB read: kept in a near cache, it would keep all of that. */
function ownBytes(bytes: Buffer): Uint8Array {
  return bytes.length * 2 < bytes.buffer.byteLength ? new Uint8Array(bytes) : bytes;
}

/** An absent field is 0: no fence was granted, no time is in the future. */
function numberAt(reply: RecordReply, at: number): number {
  return Number(textAt(reply, at) ?? 0);
}

function textAt(reply: RecordReply, at: number): string | undefined {
  const field = reply[at];
  return field instanceof Buffer ? field.toString('utf8') : undefined;
}
