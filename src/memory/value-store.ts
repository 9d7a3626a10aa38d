import type { Clock } from '../coordination/ports/clock.js';
import type {
  ArmReply,
  ArmRequest,
  HandOver,
  ReadRequest,
  StoredAnswer,
  StoreExtend,
  StoreExtended,
  StoreInvalidate,
  StoreInvalidated,
  StorePublish,
  StoreRelease,
  ValueStore,
} from '../coordination/ports/value-store.js';
import type { Wake } from '../coordination/ports/wake-channel.js';
import type { ReleaseOutcome } from '../coordination/words/outcome.js';
import type { KeyRecord, MeasuredRecord, PastLease, RecordFacts } from '../coordination/words/record.js';
import { alive, explain, type MemoryRecord, read } from './memory-record.js';
import * as steps from './record-steps.js';
import { Sweep } from './sweep.js';

export interface MemoryValueStoreParts {
  /** Fences are its microseconds, so it should continue from one run of the process to the next. */
  readonly clock: Clock;
  /** Where wakes are sent. */
  readonly wakes: { publish(wake: Wake): void };
}

/** The value store in this process's memory: each step runs in one go, and so is atomic. */
export class MemoryValueStore implements ValueStore {
  readonly #records = new Map<string, MemoryRecord>();
  readonly #sweep = new Sweep(this.#records, alive);

  constructor(private readonly parts: MemoryValueStoreParts) {}

  /** Records held now, including expired ones. */
  get size(): number {
    return this.#records.size;
  }

  async read(id: string, { known, sent }: ReadRequest = {}): Promise<KeyRecord> {
    sent?.();
    return this.#apply(id, (record, nowMs) => ({ record, reply: read(record, nowMs, known) }));
  }

  async arm(id: string, request: ArmRequest): Promise<ArmReply> {
    return this.#apply(id, (record, nowMs) => steps.arm(record, request, nowMs));
  }

  async adopt(id: string, nonce: string, to?: HandOver): Promise<RecordFacts | undefined> {
    return this.#apply(id, (record, nowMs) => steps.adopt(record, nonce, nowMs, to));
  }

  async publish(id: string, request: StorePublish): Promise<StoredAnswer> {
    request.sent?.();
    return this.#apply(id, (record, nowMs) => steps.publish(record, request, nowMs));
  }

  async release(id: string, request: StoreRelease): Promise<ReleaseOutcome> {
    return this.#apply(id, (record, nowMs) => steps.release(record, request, nowMs));
  }

  async extend(id: string, request: StoreExtend): Promise<StoreExtended> {
    return this.#apply(id, (record, nowMs) => steps.extend(record, request, nowMs));
  }

  async invalidate(id: string, request: StoreInvalidate): Promise<StoreInvalidated> {
    return this.#apply(id, (record, nowMs) => steps.invalidate(record, request, nowMs));
  }

  async explain(id: string): Promise<{ record: MeasuredRecord; past: readonly PastLease[] }> {
    return this.#apply(id, (record, nowMs) => ({ record, reply: explain(record, nowMs) }));
  }

  #apply<T>(id: string, step: (record: MemoryRecord | undefined, nowMs: number) => steps.Stepped<T>): T {
    const nowMs = this.parts.clock.nowMs();
    const { record, reply, wake } = step(alive(this.#records.get(id), nowMs), nowMs);
    if (record === undefined) this.#records.delete(id);
    else this.#records.set(id, record);
    this.#sweep.some(nowMs);
    if (wake !== undefined) this.parts.wakes.publish({ id, ...wake });
    return reply;
  }
}
