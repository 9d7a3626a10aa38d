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
import { namespaceFromId } from '../coordination/words/key.js';
import type { ReleaseOutcome } from '../coordination/words/outcome.js';
import type { KeyRecord, MeasuredRecord, PastLease, RecordFacts } from '../coordination/words/record.js';
import { ByteWindow } from './byte-window.js';
import type { StoreConnection } from './connection.js';
import { recordKey, WAKE_CHANNEL } from './keys.js';
import { ReadSizes } from './read-sizes.js';
import {
  bytesOf,
  decodeFacts,
  decodeMeasured,
  decodePast,
  decodeRecord,
  encodeLabels,
  type RecordReply,
} from './record-fields.js';
import type { Script, ScriptArgument } from './script.js';
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

  constructor(private readonly connection: StoreConnection) {}

  async read(id: string, { known, sent }: ReadRequest = {}): Promise<KeyRecord> {
    const namespace = namespaceFromId(id);
    // A value that is known is rarely moved: by those that are not, its read would be taken for a large one.
    const kind = known === undefined ? namespace : `${namespace} known`;
    return this.#coming.run(
      namespace,
      () => this.#sizes.expected(kind),
      () => this.#read(id, kind, { known, sent }),
    );
  }

  async arm(id: string, request: ArmRequest): Promise<ArmReply> {
    const reply = (await this.#run(armScript, id, {
      nonce: request.nonce,
      expires_in_ms: request.expiresInMs,
      fence_read: request.fenceRead,
      value_fence_read: request.valueFenceRead,
      alone: request.quorumLost ? 1 : 0,
      silence_ms: request.silenceMs,
      lease: encodeLabels(request),
      clock: request.clock,
      keep_ms: request.keepMs,
    })) as RecordReply;
    return { armed: reply.at(-1) === 1, record: decodeFacts(reply) };
  }

  async adopt(id: string, nonce: string, to?: HandOver): Promise<RecordFacts | undefined> {
    const reply = (await this.#run(adoptScript, id, {
      nonce,
      owner: to?.owner ?? '',
      lease: to === undefined ? '' : encodeLabels(to),
    })) as RecordReply | null;
    return reply === null ? undefined : decodeFacts(reply);
  }

  async publish(id: string, request: StorePublish): Promise<StoredAnswer> {
    const { payload } = request;
    const value = payload.kind === 'value' ? asBuffer(payload.bytes) : NO_BYTES;
    const stored = this.#going.run(
      namespaceFromId(id),
      () => value.length,
      () => {
        request.sent?.();
        return this.#run(publishScript, id, {
          nonce: request.nonce,
          fence: request.fence,
          kind: payload.kind,
          value,
          ttl_ms: request.ttlMs,
          stale_ms: request.staleMs,
          tags: JSON.stringify(request.tags),
          keep_ms: request.keepMs,
          channel: WAKE_CHANNEL,
          id,
        });
      },
    );
    const [outcome, fence, clock] = (await stored) as [Buffer, Buffer, Buffer];
    const answer = {
      outcome: outcome.toString() as StoredOutcome,
      fence: Number(fence.toString()),
      clock: clock.toString(),
    };
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
    return { record: decodeMeasured(reply), past: decodePast(reply) };
  }

  /** Its turn has come. What it brings is known before the next ones have theirs. */
  async #read(id: string, kind: string, { known, sent }: ReadRequest): Promise<KeyRecord> {
    const asked = this.#run(readScript, id, { known_fence: known?.fence ?? 0 });
    sent?.();
    const reply = (await asked) as RecordReply;
    const record = decodeRecord(reply, known);
    this.#sizes.came(kind, bytesOf(reply, record));
    return record;
  }

  #run<A extends string>(
    script: Script<'record', A>,
    id: string,
    args: Readonly<Record<A, ScriptArgument>>,
  ): Promise<unknown> {
    return this.connection.call((client) => script.run(client, { record: recordKey(id) }, args));
  }
}

/** ioredis takes a Uint8Array for text. It sends a Buffer over the same memory unchanged. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
