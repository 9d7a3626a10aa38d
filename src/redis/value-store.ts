import type {
  ArmReply,
  ArmRequest,
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
import type { ReleaseOutcome } from '../coordination/words/outcome.js';
import type { KeyRecord, PastLease } from '../coordination/words/record.js';
import type { StoreConnection } from './connection.js';
import { recordKey, WAKE_CHANNEL } from './keys.js';
import { decodePast, decodeRecord, encodeLabels, type RecordReply } from './record-fields.js';
import type { Script, ScriptArgument } from './script.js';
import {
  adoptScript,
  armScript,
  explainScript,
  extendScript,
  invalidateScript,
  publishScript,
  readScript,
  releaseScript,
} from './value-scripts.js';

/** The value store on Redis: one hash for each key, one Lua script for each step. */
export class RedisValueStore implements ValueStore {
  constructor(private readonly connection: StoreConnection) {}

  async read(id: string): Promise<KeyRecord> {
    return decodeRecord((await this.#run(readScript, id, {})) as RecordReply);
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
    return { armed: reply.at(-1) === 1, record: decodeRecord(reply) };
  }

  async adopt(id: string, nonce: string): Promise<KeyRecord | undefined> {
    const reply = (await this.#run(adoptScript, id, { nonce })) as RecordReply | null;
    return reply === null ? undefined : decodeRecord(reply);
  }

  async publish(id: string, request: StorePublish): Promise<StoredAnswer> {
    const { payload } = request;
    const [outcome, fence, clock] = (await this.#run(publishScript, id, {
      nonce: request.nonce,
      fence: request.fence,
      kind: payload.kind,
      value: payload.kind === 'value' ? asBuffer(payload.bytes) : '',
      ttl_ms: request.ttlMs,
      stale_ms: request.staleMs,
      tags: JSON.stringify(request.tags),
      keep_ms: request.keepMs,
      channel: WAKE_CHANNEL,
      id,
    })) as [Buffer, Buffer, Buffer];
    return {
      outcome: outcome.toString() as StoredOutcome,
      fence: Number(fence.toString()),
      clock: clock.toString(),
    };
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

  async explain(id: string): Promise<{ record: KeyRecord; past: readonly PastLease[] }> {
    const reply = (await this.#run(explainScript, id, {})) as RecordReply;
    return { record: decodeRecord(reply), past: decodePast(reply) };
  }

  #run<A extends string>(
    script: Script<'record', A>,
    id: string,
    args: Readonly<Record<A, ScriptArgument>>,
  ): Promise<unknown> {
    return this.connection.call((client) => script.run(client, { record: recordKey(id) }, args));
  }
}

/** ioredis takes a Uint8Array for text; a Buffer over the same memory it sends as it is. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
