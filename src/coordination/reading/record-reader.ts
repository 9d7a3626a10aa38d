import type { Lateness } from '../degradation/lateness.js';
import { inPatience, isLost, type Patience } from '../degradation/patience.js';
import { rethrowUnlessUnavailable, throwIfOnLossFails, unavailable } from '../degradation/unavailable.js';
import type { NamespaceRecord, NamespaceStore } from '../ports/namespace-store.js';
import type { Missing, ValueStore } from '../ports/value-store.js';
import type { Key } from '../words/key.js';
import {
  type ArmedLease,
  type MeasuredRecord,
  NO_RECORD,
  type PastLease,
  type RecordFacts,
  type StoredValue,
  type ValueFacts,
} from '../words/record.js';
import type { Changes } from './changes.js';
import type { ClockKeeper } from './clock-keeper.js';
import { counted, withBackOff } from './counted.js';
import type { RebuildSamples } from './rebuild-samples.js';
import type { Snapshot } from './snapshot.js';

export interface RecordReaderParts extends Patience {
  readonly store: ValueStore;
  readonly namespaces: NamespaceStore;
}

/** What the coordinator shares between its rooms. */
export interface RecordReaderShared {
  readonly held: RunningLeases;
  readonly changes: Changes;
  readonly samples: RebuildSamples;
  readonly keeper: Pick<ClockKeeper, 'read'>;
  readonly lateness: Pick<Lateness, 'owedSinceMs'>;
}

/** What this replica itself knows about the leases that it has granted. */
export interface RunningLeases {
  /** The key's running lease, as a record would have it. */
  running(id: string): ArmedLease | undefined;
}

/** Reads the record of a key, with its value if that counts. */
export class RecordReader {
  /** The reads of namespaces that are sent in this turn. Every caller of the turn came before they were sent. */
  readonly #thisTurn = new Map<string, Promise<NamespaceRecord>>();

  constructor(
    private readonly parts: RecordReaderParts,
    private readonly shared: RecordReaderShared,
  ) {}

  /**
   * The store's record; without the store, what this replica knows itself. Calls `arrivals` when the read is sent.
   * `known` is a value that this replica has; the store does not send it again. Undefined if the store is there but
   * gave no answer: read again after a pause. Rejects as `unavailable` if the namespace's policy is to fail.
   */
  async read(key: Key, arrivals: () => number, known?: StoredValue): Promise<Snapshot | undefined> {
    const read: Reading = {};
    try {
      const reading = this.#read(key, arrivals, known, read);
      const turn = { sentAtMs: () => read.asked?.readAtMs, lateness: this.shared.lateness };
      return await inPatience(this.parts, key.namespace, reading, turn);
    } catch (error) {
      const without = this.#withoutStore(key, error);
      if (without === undefined) return undefined;
      const { count: sentAt } = this.shared.changes;
      const { clock } = this.parts;
      return { ...without, readAtMs: clock.nowMs(), arrivals: arrivals(), sentAt, from: 'nowhere' };
    }
  }

  async #read(
    key: Key,
    arrivals: () => number,
    known: StoredValue | undefined,
    read: Reading,
  ): Promise<Snapshot> {
    const { clock, store } = this.parts;
    // The read of a large value waits for its turn. Changes until then are in it.
    const sent = () => {
      read.asked = this.#ask(key, arrivals());
    };
    const record = await store.read(key.id, { known, sent });
    const { readAtMs, arrived, sentAt, namespace } = read.asked ?? this.#ask(key, arrivals());
    const { clock: tagClock, rebuild, stamps } = await namespace;
    const counting = this.#counted(key, record, { clock: tagClock, stamps });
    const counted = counting instanceof Promise ? await counting : counting;
    return {
      record: counted,
      uncounted: counted.value === undefined ? record.value : undefined,
      readAtMs,
      heardAtMs: clock.nowMs(),
      arrivals: arrived,
      from: 'store',
      sentAt,
      // Read before a lease is armed, so a lease that carries it covers everything that came since.
      namespace: { clock: tagClock, rebuild },
    };
  }

  /**
   * The same for people, with the ended leases, newest first, and without the value. Also rejects as `unavailable` if
   * the store gave no answer.
   */
  async explain(key: Key): Promise<{ record: MeasuredRecord; past: readonly PastLease[] }> {
    try {
      return await inPatience(this.parts, key.namespace, this.#explain(key));
    } catch (error) {
      const without = this.#withoutStore(key, error);
      if (without === undefined) throw unavailable('the value store did not answer; retry');
      return { record: without.record, past: [] };
    }
  }

  async #explain(key: Key): Promise<{ record: MeasuredRecord; past: readonly PastLease[] }> {
    const asked = Promise.all([this.parts.store.explain(key.id), this.#namespace(key.namespace)]);
    const [{ record, past }, known] = await asked;
    return { record: await this.#counted(key, record, known), past };
  }

  /** Call it when a read is sent. The namespace is read at the same time. */
  #ask({ namespace: name }: Key, arrived: number): Asked {
    const namespace = this.#namespace(name);
    return { readAtMs: this.parts.clock.nowMs(), arrived, sentAt: this.shared.changes.count, namespace };
  }

  /**
   * The record, with its value if that counts. The stamps of a value's tags are read only if the clock has moved on. The
   * namespace was read beside the record, so its clock may have begun in between: then it is read again.
   */
  #counted<Value extends ValueFacts, Record extends RecordFacts & { value?: Value | undefined }>(
    { namespace }: Key,
    record: Record,
    known: Pick<NamespaceRecord, 'clock' | 'stamps'>,
  ): Record | Promise<Record> {
    const { failure, value } = record;
    const tags = value === undefined || value.clock === known.clock ? [] : value.tags;
    const by = (now: Pick<NamespaceRecord, 'clock' | 'stamps'>) => {
      const failed = failure && withBackOff(failure, now.clock, now.stamps);
      const told = failed === failure ? record : { ...record, failure: failed };
      return withValue(told, value && counted(value, now.clock, now.stamps));
    };
    const isBehind = known.clock === '' && (value ?? failure) !== undefined;
    return tags.length === 0 && !isBehind ? by(known) : this.parts.namespaces.read(namespace, tags).then(by);
  }

  /** What this replica itself knows about the key, if the store is lost. Undefined if it is only late. */
  #withoutStore(key: Key, error: unknown): { record: RecordFacts; missing: Missing } | undefined {
    rethrowUnlessUnavailable(error);
    const policy = this.parts.policyOf(key.namespace);
    throwIfOnLossFails(policy, 'the value store');
    if (!isLost(error, policy)) return undefined;
    const lease = this.shared.held.running(key.id);
    return { record: lease === undefined ? NO_RECORD : { ...NO_RECORD, lease }, missing: error.how };
  }

  #namespace(namespace: string): Promise<NamespaceRecord> {
    const sent = this.#thisTurn.get(namespace);
    if (sent !== undefined) return sent;
    const { changes } = this.shared;
    changes.listenTo(namespace);
    const { count: sentAt } = changes;
    const sentAtMs = this.parts.clock.nowMs();
    const reading = this.parts.namespaces
      .read(namespace, [], this.shared.samples.remove(namespace))
      .then((seen) => {
        changes.clockRead(namespace, seen.clock, sentAt);
        this.shared.keeper.read(namespace, seen.keptForMs, sentAtMs);
        return seen;
      });
    if (this.#thisTurn.size === 0) queueMicrotask(() => this.#thisTurn.clear());
    this.#thisTurn.set(namespace, reading);
    // If the read of the key itself fails, nothing awaits this one.
    reading.catch(() => {});
    return reading;
  }
}

/** A read, which may wait for its turn before it is sent. */
interface Reading {
  asked?: Asked;
}

/** A read as it was sent. */
interface Asked extends Pick<Snapshot, 'readAtMs' | 'sentAt'> {
  /** Callers that had come by then. */
  readonly arrived: number;
  readonly namespace: Promise<NamespaceRecord>;
}

/** A value that no longer counts was invalidated, by one of its tags or with its namespace. That is how it ended. */
function withValue<Value, Record extends RecordFacts & { value?: Value | undefined }>(
  record: Record,
  value: Value | undefined,
): Record {
  if (value === record.value) return record;
  const isOver = value === undefined && record.lastEnd === 'published';
  return { ...record, value, lastEnd: isOver ? 'invalidated' : record.lastEnd };
}
