import type {
  ArmReply,
  ArmRequest,
  HandOver,
  ReadRequest,
  StoredAnswer,
  StoredOutcome,
  StoreExtend,
  StoreExtended,
  StoreInvalidate,
  StoreInvalidated,
  StorePublish,
  StoreRelease,
  ValueStore,
} from '../coordination/ports/value-store.js';
import { WAKE_VALUE_BYTES_MAX } from '../coordination/ports/wake-channel.js';
import { namespaceFromId } from '../coordination/words/key.js';
import type { ReleaseOutcome } from '../coordination/words/outcome.js';
import {
  type KeyRecord,
  type MeasuredRecord,
  NO_RECORD,
  type PastLease,
  type RecordFacts,
} from '../coordination/words/record.js';
import { ByteWindow } from './byte-window.js';
import type { StoreConnection } from './connection.js';
import { GatheredSteps, STEP_BYTES_MAX } from './gathered-steps.js';
import { recordKey, WAKE_CHANNEL } from './keys.js';
import { ReadSizes } from './read-sizes.js';
import {
  bytesLeftOut,
  bytesOf,
  decodeFacts,
  decodeMeasured,
  decodePast,
  decodeRecord,
  encodeLabels,
  encodeTags,
  FIELDS_BYTES,
  firstLease,
  type RecordReply,
} from './record-fields.js';
import type { GatheredScript, Script, ScriptArgument } from './script.js';
import { FORGOTTEN_BYTES_MIN, ValueEnds } from './value-ends.js';
import {
  adoptScript,
  armScript,
  explainScript,
  extendScript,
  forgetScript,
  invalidateScript,
  publishScript,
  readScript,
  releaseScript,
} from './value-scripts.js';

const STORED_NOW: ReadonlySet<StoredOutcome> = new Set(['stored', 'stored_late']);
const NO_BYTES = Buffer.alloc(0);

/** The value store on Redis: one hash for each key, one Lua script for each step. */
export class RedisValueStore implements ValueStore {
  /** Values on their way here, and on their way to the store. */
  readonly #coming = new ByteWindow();
  readonly #going = new ByteWindow();
  readonly #sizes = new ReadSizes();
  readonly #ends = new ValueEnds(async (id, fence) => {
    return ((await this.#run(forgetScript, id, { fence })) as number) / 1000;
  });

  readonly #steps: GatheredSteps;
  /** None on a cluster, whose masters send each message to all nodes. */
  readonly #wakeBytesMax: number;

  /** A value of at most `wakeValueBytesMax`, with its tags as JSON, travels in the wake of its publish. */
  constructor(
    private readonly connection: StoreConnection,
    wakeValueBytesMax = WAKE_VALUE_BYTES_MAX,
  ) {
    this.#steps = new GatheredSteps(connection);
    this.#wakeBytesMax = connection.isCluster ? 0 : wakeValueBytesMax;
  }

  read(id: string, { known, sent }: ReadRequest = {}): Promise<KeyRecord> {
    const namespace = namespaceFromId(id);
    // A known value is rarely transferred. If its reads counted with the others, each would be expected to be large.
    const kind = known === undefined ? namespace : `${namespace} known`;
    const read = (request: ReadRequest, leftOutBytes: number): Promise<KeyRecord> => {
      const expected = () => Math.max(leftOutBytes, this.#sizes.expected(kind));
      const coming = this.#coming.run(namespace, expected, () => this.#read(id, kind, request, expected()));
      // It was sent. It does no harm if this read returns something newer.
      return coming.then((found) => (typeof found === 'number' ? read({ known }, found) : found));
    };
    return read({ known, sent }, 0);
  }

  arm(id: string, request: ArmRequest): Promise<ArmReply> {
    const asked = this.#ask(armScript, id, {
      nonce: request.nonce,
      expires_in_ms: request.expiresInMs,
      fence_read: request.fenceRead,
      value_fence_read: request.valueFenceRead,
      alone: request.quorumLost ? 1 : 0,
      silence_ms: request.silenceMs,
      lease: encodeLabels(request),
      clock: request.clock,
      keep_ms: request.keepMs,
      group: request.group,
    }) as Promise<RecordReply | Buffer>;
    return asked.then((reply) => {
      // There was no record, so that nothing else is in it.
      if (Buffer.isBuffer(reply))
        return { armed: true, record: firstLease(request, Number(reply.toString())) };
      return { armed: reply.at(-1) === 1, record: this.#decoded(() => decodeFacts(reply)) };
    });
  }

  async adopt(id: string, nonce: string, to?: HandOver): Promise<RecordFacts | undefined> {
    const reply = (await this.#run(adoptScript, id, {
      nonce,
      owner: to?.owner ?? '',
      lease: to === undefined ? '' : encodeLabels(to),
    })) as RecordReply | null;
    return reply === null ? undefined : this.#decoded(() => decodeFacts(reply));
  }

  async publish(id: string, request: StorePublish): Promise<StoredAnswer> {
    const { payload } = request;
    const value = payload.kind === 'value' ? asBuffer(payload.bytes) : NO_BYTES;
    const stored = this.#going.run(
      namespaceFromId(id),
      () => value.length,
      () => {
        request.sent?.();
        const args = {
          nonce: request.nonce,
          fence: request.fence,
          kind: payload.kind,
          value,
          ttl_ms: request.ttlMs,
          stale_ms: request.staleMs,
          tags: encodeTags(request.tags),
          keep_ms: request.keepMs,
          channel: WAKE_CHANNEL,
          id,
          wake_bytes_max: this.#wakeBytesMax,
        };
        return this.#ask(publishScript, id, args, value.length);
      },
    );
    const [outcome = '', fence, clock = ''] = ((await stored) as Buffer).toString().split(' ');
    const answer = { outcome: outcome as StoredOutcome, fence: Number(fence), clock };
    if (value.length >= FORGOTTEN_BYTES_MIN && STORED_NOW.has(answer.outcome)) {
      this.#ends.stored(id, answer.fence, request.ttlMs + request.staleMs);
    }
    return answer;
  }

  async release(id: string, request: StoreRelease): Promise<ReleaseOutcome> {
    const { failure } = request;
    const ended = await this.#run(releaseScript, id, {
      nonce: request.nonce,
      owner: request.owner ?? '',
      last_end: request.end,
      failed: failure === undefined ? 0 : 1,
      failure: failure?.message ?? '',
      retry_after_ms: failure?.retryAfterMs ?? '',
      backoff_ms: failure?.backoffMs ?? 0,
      backoff_ms_max: failure?.backoffMsMax ?? 0,
      keep_ms: request.keepMs,
      channel: WAKE_CHANNEL,
      id,
    });
    return ended === 1 ? 'released' : 'not_held';
  }

  async extend(id: string, request: StoreExtend): Promise<StoreExtended> {
    const leftUs = (await this.#run(extendScript, id, {
      nonce: request.nonce,
      expires_in_ms: request.expiresInMs,
      alone: request.quorumLost ? 1 : 0,
      keep_ms: request.keepMs,
      hold_ms: request.holdMs,
      group: request.group,
    })) as number | null;
    return leftUs === null ? { extended: false } : { extended: true, expiresInMs: leftUs / 1000 };
  }

  async invalidate(id: string, request: StoreInvalidate): Promise<StoreInvalidated> {
    const [hadValue, fence, voided] = (await this.#run(invalidateScript, id, {
      mode: request.mode,
      keep_ms: request.keepMs,
      channel: WAKE_CHANNEL,
      id,
    })) as [number, Buffer, Buffer | null];
    return { hadValue: hadValue === 1, fence: Number(fence.toString()), voidedNonce: voided?.toString() };
  }

  async explain(id: string): Promise<{ record: MeasuredRecord; past: readonly PastLease[] }> {
    const reply = (await this.#run(explainScript, id, {})) as RecordReply;
    return this.#decoded(() => ({ record: decodeMeasured(reply), past: decodePast(reply) }));
  }

  /**
   * Its turn has come. What it brings is known before the next ones have theirs. A value that is not small after all is not
   * moved: resolves to how many bytes it would bring, or to 0 where only its call was too large.
   */
  async #read(
    id: string,
    kind: string,
    { known, sent }: ReadRequest,
    expectedBytes: number,
  ): Promise<KeyRecord | number> {
    const valueBytes = Math.max(0, expectedBytes - FIELDS_BYTES);
    const args = {
      known_fence: known?.fence ?? 0,
      bytes_max: valueBytes > STEP_BYTES_MAX ? '' : STEP_BYTES_MAX,
    };
    const asked = this.#ask(readScript, id, args, valueBytes);
    sent?.();
    const reply = (await asked) as RecordReply | null;
    const leftOut = reply === null ? undefined : bytesLeftOut(reply);
    if (leftOut !== undefined) {
      if (leftOut > 0) this.#sizes.came(kind, leftOut);
      return leftOut;
    }
    const record = reply === null ? NO_RECORD : this.#decoded(() => decodeRecord(reply, known));
    this.#sizes.came(kind, bytesOf(reply, record));
    return record;
  }

  /** A record that another program has changed concerns its key alone. The error must not quote it. */
  #decoded<T>(decode: () => T): T {
    try {
      return decode();
    } catch {
      const why = 'its record cannot be read';
      throw this.connection.foreignKey(why, new Error(why));
    }
  }

  #ask<A extends string>(
    script: GatheredScript<A>,
    id: string,
    args: Readonly<Record<A, ScriptArgument>>,
    bytes?: number,
  ): Promise<unknown> {
    return this.#steps.ask(script, recordKey(id), args, bytes);
  }

  #run<A extends string>(
    script: Script<'record', A>,
    id: string,
    args: Readonly<Record<A, ScriptArgument>>,
  ): Promise<unknown> {
    const record = recordKey(id);
    this.#steps.sendBefore(record);
    return this.connection.call((client) => script.run(client, { record }, args));
  }
}

/** ioredis takes a Uint8Array for text. It sends a Buffer over the same memory unchanged. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
