import type { Changes } from './changes.js';
import type { Clock } from './clock.js';
import type { HeldLeases } from './held-leases.js';
import type { Key } from './key.js';
import { failIfAsked, ignoreLoss } from './loss.js';
import type { NamespaceRecord, NamespaceStore } from './namespace-store.js';
import type { Policy } from './policy.js';
import { type KeyRecord, NO_RECORD } from './record.js';
import { counted } from './tag-clock.js';
import type { ValueStore } from './value-store.js';
import type { View } from './view.js';

export interface LookerParts {
  readonly store: ValueStore;
  readonly namespaces: NamespaceStore;
  readonly clock: Clock;
  policyOf(namespace: string): Policy;
}

/** Reads what is known of a key, with its value as far as that counts. */
export class Looker {
  /** Looks at namespaces that were sent in this turn: whoever asks in the same turn came before they were sent. */
  readonly #thisTurn = new Map<string, Promise<NamespaceRecord>>();

  constructor(
    private readonly parts: LookerParts,
    private readonly held: HeldLeases,
    private readonly changes: Changes,
  ) {}

  /**
   * The store's word; without a store, what this replica knows itself. `arrivals` is called when the read is
   * sent. Rejects as `unavailable` where the namespace rather fails.
   */
  async look(key: Key, arrivals: () => number): Promise<View> {
    const { clock } = this.parts;
    const sent = { readAtMs: clock.nowMs(), arrivals: arrivals(), sentAt: this.changes.count };
    try {
      const read = await this.#read(key);
      return { ...sent, ...read, heardAtMs: clock.nowMs(), from: 'store' };
    } catch (error) {
      ignoreLoss(error);
      failIfAsked(this.parts.policyOf(key.namespace), 'the value store');
      const lease = this.held.running(key.id);
      const record = lease === undefined ? NO_RECORD : { ...NO_RECORD, lease };
      const { count: sentAt } = this.changes;
      return { record, readAtMs: clock.nowMs(), arrivals: arrivals(), sentAt, from: 'nowhere' };
    }
  }

  /** Record and namespace are asked together; the stamps of tags only where the clock has moved on. */
  async #read({ id, namespace }: Key): Promise<Pick<View, 'record' | 'namespace'>> {
    const { store, namespaces } = this.parts;
    const [record, known] = await Promise.all([store.look(id), this.#namespace(namespace)]);
    const { value } = record;
    const tags = value === undefined || value.clock === known.clock ? [] : value.tags;
    const now = tags.length === 0 ? known : await namespaces.look(namespace, tags);
    return {
      record: withValue(record, value && counted(value, now.clock, now.stamps)),
      // Read before anybody is asked for a lease: one that carries it covers everything that came since.
      namespace: { clock: known.clock, ...(known.rebuild === undefined ? {} : { rebuild: known.rebuild }) },
    };
  }

  #namespace(namespace: string): Promise<NamespaceRecord> {
    const sent = this.#thisTurn.get(namespace);
    if (sent !== undefined) return sent;
    const { changes } = this;
    changes.listenTo(namespace);
    const { count: sentAt } = changes;
    const looking = this.parts.namespaces.look(namespace, []).then((seen) => {
      changes.clockRead(namespace, seen.clock, sentAt);
      return seen;
    });
    if (this.#thisTurn.size === 0) queueMicrotask(() => this.#thisTurn.clear());
    this.#thisTurn.set(namespace, looking);
    return looking;
  }
}

function withValue(record: KeyRecord, value: KeyRecord['value']): KeyRecord {
  if (value === record.value) return record;
  const { value: _uncounted, ...rest } = record;
  return value === undefined ? rest : { ...rest, value };
}
