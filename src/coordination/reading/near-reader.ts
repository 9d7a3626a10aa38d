import type { Clock } from '../ports/clock.js';
import type { WakeChannel } from '../ports/wake-channel.js';
import type { Key } from '../words/key.js';
import type { Limits } from '../words/policy.js';
import type { StoredValue } from '../words/record.js';
import type { Facts, Trace } from '../words/trace.js';
import type { Arrival, Changes } from './changes.js';
import { hitOf } from './hit-of.js';
import type { NearCache } from './near-cache.js';
import type { RecordReader } from './record-reader.js';
import { copyOf, type Snapshot } from './snapshot.js';

/** The callers of a key that wait for its record. */
export interface Readers {
  readonly key: Key;
  /** The trace of the oldest one that is traced. */
  readonly trace: Trace | undefined;
  /** The position of a caller that comes now, in the order of the changes. */
  readonly now: Arrival;
  /** The last value of the key that was seen. */
  readonly known: StoredValue | undefined;
  /** What the last read returned; undefined before the first. */
  readonly snapshot: Snapshot | undefined;
  /** Called when a read is sent. Later changes are not in it. */
  beginRead(): void;
}

export interface NearReaderParts {
  readonly clock: Clock;
  readonly wakes: Pick<WakeChannel, 'live'>;
  readonly limits: Pick<Limits, 'storeTimeoutMs'>;
}

/** Reads for a waiting room. Keeps what it reads, and returns what it has kept if the store is lost. */
export class NearReader {
  constructor(
    private readonly reader: RecordReader,
    private readonly near: NearCache,
    private readonly changes: Changes,
    private readonly parts: NearReaderParts,
  ) {}

  /** What this replica knows about the key without asking the store: the room's last read, or what the near cache has. */
  known(room: Readers): Snapshot | undefined {
    return room.snapshot ?? this.near.get(room.key.id);
  }

  /**
   * This replica's value of the key, if it has expired. No wake has come, so nothing has changed it, and the store's
   * has expired too. Undefined if it has not expired, or if that is unknown.
   */
  expired({ key }: Pick<Readers, 'key'>): Snapshot | undefined {
    const { clock, wakes } = this.parts;
    const snapshot = wakes.live ? this.near.get(key.id) : undefined;
    if (snapshot === undefined) return undefined;
    // The value was read, or stored, after its read was sent. Counted from the sending, it would seem expired too
    // early.
    const { readAtMs, heardAtMs = readAtMs } = snapshot;
    const surelyMs = clock.nowMs() - (heardAtMs - readAtMs);
    return hitOf(snapshot, surelyMs, false)?.fresh !== true ? snapshot : undefined;
  }

  /** Calls `arrivals` when the read is sent. Undefined as in {@link RecordReader.read}. */
  async read(room: Readers, arrivals: () => number): Promise<Snapshot | undefined> {
    // One read serves all waiters. The first traced one shows it.
    const step = room.trace?.begin('look');
    const sent = () => {
      room.beginRead();
      return arrivals();
    };
    const reading = this.reader.read(room.key, sent, room.known ?? this.near.known(room.key.id));
    if (step !== undefined) {
      reading.then(
        (seen) => step.end(seen && { found: foundIn(seen), late: this.#wasLate(seen) }),
        () => step.end(),
      );
    }
    const snapshot = await reading;
    if (snapshot === undefined) return undefined;
    if (snapshot.from === 'store') {
      // If a change arrived during the read, it may have read the older value, and must not bring it back.
      if (this.changes.allow(room.key.namespace, copyOf(snapshot), room.now))
        this.near.fill(room.key, snapshot);
      return snapshot;
    }
    const value = this.near.stale(room.key.id, snapshot.readAtMs);
    return value === undefined ? snapshot : { ...snapshot, record: { ...snapshot.record, value } };
  }

  #wasLate({ readAtMs, heardAtMs = readAtMs }: Snapshot): boolean {
    return heardAtMs - readAtMs >= this.parts.limits.storeTimeoutMs;
  }
}

function foundIn({ record: { value } }: Snapshot): NonNullable<Facts['found']> {
  if (value === undefined || value.servableForMs <= 0) return 'nothing';
  return value.freshForMs > 0 ? 'fresh' : 'stale';
}
