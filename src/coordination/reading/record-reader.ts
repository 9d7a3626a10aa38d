import { inPatience, isLost, type Patience } from '../degradation/patience.js';
import { throwIfOnLossFails } from '../degradation/unavailable.js';
import type { NamespaceRecord, NamespaceStore } from '../ports/namespace-store.js';
import { StoreUnavailable, type ValueStore } from '../ports/value-store.js';
import type { Key } from '../words/key.js';
import { type ArmedLease, type KeyRecord, NO_RECORD } from '../words/record.js';
import type { Changes } from './changes.js';
import type { ClockKeeper } from './clock-keeper.js';
import { counted, withBackOff } from './counted.js';
import type { RebuildSamples } from './rebuild-samples.js';
import type { Snapshot } from './snapshot.js';

export interface RecordReaderParts extends Patience {
  readonly store: ValueStore;
  readonly namespaces: NamespaceStore;
}

/** What this replica itself knows of the leases that it gave. */
export interface RunningLeases {
  /** The key's lease that runs, in the form in which a record would show it. */
  running(id: string): ArmedLease | undefined;
}

/** Reads what is known of a key, with its value as far as that counts. */
export class RecordReader {
  /** Reads of namespaces that were sent in this turn: a caller of the same turn came before they were sent. */
  readonly #thisTurn = new Map<string, Promise<NamespaceRecord>>();

  constructor(
    private readonly parts: RecordReaderParts,
    private readonly held: RunningLeases,
    private readonly changes: Changes,
    private readonly samples: RebuildSamples,
    private readonly keeper: Pick<ClockKeeper, 'read'>,
  ) {}

  /**
   * The store's word; without a store, what this replica knows itself. Undefined if there is no word, although the
   * store is there: read again after a pause. `arrivals` is called when the read is sent. Rejects as `unavailable`
   * where the namespace rather fails.
   */
  async read(key: Key, arrivals: () => number): Promise<Snapshot | undefined> {
    const { clock } = this.parts;
    const [readAtMs, arrived, sentAt] = [clock.nowMs(), arrivals(), this.changes.count];
    try {
      const { record, namespace } = await inPatience(this.parts, key.namespace, this.#read(key));
      // Field by field: spreads take several times as long, and every look comes by here.
      const heardAtMs = clock.nowMs();
      return { record, readAtMs, heardAtMs, arrivals: arrived, from: 'store', sentAt, namespace };
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      const policy = this.parts.policyOf(key.namespace);
      throwIfOnLossFails(policy, 'the value store');
      if (!isLost(error, policy)) return undefined;
      const lease = this.held.running(key.id);
      const record = lease === undefined ? NO_RECORD : { ...NO_RECORD, lease };
      const { count: sentAt } = this.changes;
      const { how: missing } = error;
      return { record, readAtMs: clock.nowMs(), arrivals: arrivals(), sentAt, from: 'nowhere', missing };
    }
  }

  /** Record and namespace are asked together; the stamps of tags only where the clock has moved on. */
  async #read({ id, namespace }: Key): Promise<Pick<Snapshot, 'record' | 'namespace'>> {
    const { store, namespaces } = this.parts;
    const [record, known] = await Promise.all([store.read(id), this.#namespace(namespace)]);
    const { failure, value } = record;
    const tags = value === undefined || value.clock === known.clock ? [] : value.tags;
    const now = tags.length === 0 ? known : await namespaces.read(namespace, tags);
    return {
      record: withValue(
        { ...record, failure: failure && withBackOff(failure, known.clock, known.stamps) },
        value && counted(value, now.clock, now.stamps),
      ),
      // Read before anybody is asked for a lease: one that carries it covers everything that came since.
      namespace: { clock: known.clock, rebuild: known.rebuild },
    };
  }

  #namespace(namespace: string): Promise<NamespaceRecord> {
    const sent = this.#thisTurn.get(namespace);
    if (sent !== undefined) return sent;
    const { changes } = this;
    changes.listenTo(namespace);
    const { count: sentAt } = changes;
    const sentAtMs = this.parts.clock.nowMs();
    const looking = this.parts.namespaces.read(namespace, [], this.samples.remove(namespace)).then((seen) => {
      changes.clockRead(namespace, seen.clock, sentAt);
      this.keeper.read(namespace, seen.keptForMs, sentAtMs);
      return seen;
    });
    if (this.#thisTurn.size === 0) queueMicrotask(() => this.#thisTurn.clear());
    this.#thisTurn.set(namespace, looking);
    return looking;
  }
}

/** A value that counts no longer was invalidated, by a tag of it or with its namespace: that is how its story ended. */
function withValue(record: KeyRecord, value: KeyRecord['value']): KeyRecord {
  if (value === record.value) return record;
  const isOver = value === undefined && record.lastEnd === 'published';
  return { ...record, value, lastEnd: isOver ? 'invalidated' : record.lastEnd };
}
