import type { NamespaceInvalidate } from '../../src/coordination/ports/namespace-store.js';
import type { StorePublish } from '../../src/coordination/ports/value-store.js';
import { keyFromId } from '../../src/coordination/words/key.js';
import type { Degraded, Hit } from '../../src/coordination/words/outcome.js';

/** A change in the store: a stored publish, or an invalidation of a key, of tags or of a namespace. */
export interface Change {
  readonly what: 'publish' | 'delete' | 'mark_stale';
  /** Its position in the order of all events. */
  readonly appliedAt: number;
  readonly appliedMs: number;
  /** The nonce of the published value. */
  readonly nonce?: string;
  /** The invalidation of tags or of a namespace. */
  readonly stamped?: NamespaceInvalidate;
  /** Whether earlier failures must not be shown after it. */
  readonly endsFailure: boolean;
}

/** A place that holds copies: a run of a replica, or a client. */
export type Place = object;

/** A value or a failure that was made under one lease. */
export interface Made {
  readonly id: string;
  /** When the lease was armed, or granted without the store. Its holder has read the source after that. */
  givenAt: number;
  /** When a caller first received the lease. */
  heldAt: number | undefined;
  storedAt: number | undefined;
  tags: readonly string[];
  /** When the store began to count the value's time, and how long it is fresh. */
  freshMs: { readonly from: number; readonly ttl: number } | undefined;
}

/** For the steps of an answer, and for the clocks of replicas, which differ by at most 1 %. */
const FRESH_MARGIN_MS = 2;
const DRIFT_SHARE = 0.01;

/** Whether a lease with this mode is unknown to the store. */
export const isWithoutStore = (degraded: Degraded) => degraded === 'store_lost' || degraded === 'local';

/** How long a replica may still vote on a lease after it found the store lost. */
const BALLOT_MS_MAX = 250;

/** A moment in the order of all events, and in true time. */
export interface Moment {
  readonly at: number;
  readonly ms: number;
}

/** The changes that have arrived at one place. */
interface Arrivals {
  readonly of: Map<Change, number>;
  /** The changes that arrived by wake. A replica reports only these to its clients. */
  readonly woken: Map<Change, Moment>;
  /** When its channel was confirmed, and when it was lost. Each counts as a change of everything. */
  readonly confirmedAt: number[];
  readonly lostAt: number[];
  /** When it reported the store as lost, unless the store has answered since. */
  storeLostAt: number | undefined;
  storeHeardMs: number;
}

/** The changes of a namespace. They are also in the list of each of its keys. */
interface Space {
  readonly changes: Change[];
  readonly ofKeys: Change[][];
}

/** A value or a failure that an answer shows. */
export interface Shown {
  readonly id: string;
  readonly nonce: string;
  readonly fresh: boolean;
  /** When the call came to the place. */
  readonly cameAt: number;
}

/**
 * INV-15, never an old value: an answer shows nothing that a change had made old, if the change arrived at the place
 * before the call came. A change has arrived once the place has processed its wake, its event or its answer.
 */
export class OldValues {
  readonly #made = new Map<string, Made>();
  readonly #ofKey = new Map<string, Change[]>();
  readonly #spaces = new Map<string, Space>();
  readonly #arrivals = new Map<Place, Arrivals>();

  constructor(
    /** Returns the next position in the order of all events. */
    private readonly now: () => number,
    private readonly nowMs: () => number,
  ) {}

  /** The store arms a lease. */
  given(id: string, nonce: string): void {
    const made = this.#made.get(nonce);
    if (made !== undefined) made.givenAt = this.now();
    else {
      const now = this.now();
      const unknown = { heldAt: undefined, storedAt: undefined, freshMs: undefined };
      this.#made.set(nonce, { id, givenAt: now, tags: [], ...unknown });
    }
  }

  /**
   * A caller receives a lease. It reads the source after that. A lease unknown to the store is granted at this moment.
   */
  held(id: string, nonce: string, degraded: Degraded): void {
    if (isWithoutStore(degraded)) this.given(id, nonce);
    const made = this.#made.get(nonce);
    if (made !== undefined) made.heldAt ??= this.now();
  }

  /** The tags that a holder publishes, whether or not the value will be stored. */
  tagged(nonce: string, tags: readonly string[]): void {
    const made = this.#made.get(nonce);
    if (made !== undefined) made.tags = tags;
  }

  published(id: string, { nonce, tags, ttlMs }: StorePublish): Change {
    const made = this.#made.get(nonce);
    const change = this.#change('publish', { nonce, endsFailure: true });
    if (made !== undefined) {
      made.storedAt ??= change.appliedAt;
      made.freshMs ??= { from: change.appliedMs, ttl: ttlMs };
      made.tags = tags;
    }
    return this.#keep(id, change);
  }

  /** `endsFailure`: whether the store shows no failure after it. */
  invalidated(id: string, mode: 'delete' | 'mark_stale', endsFailure: boolean): Change {
    return this.#keep(id, this.#change(mode, { endsFailure }));
  }

  stamped(namespace: string, stamped: NamespaceInvalidate): Change {
    const change = this.#change(stamped.mode, { stamped, endsFailure: false });
    const { changes, ofKeys } = this.#spaceOf(namespace);
    for (const all of [changes, ...ofKeys]) all.push(change);
    return change;
  }

  arrived(place: Place, change: Change): void {
    const { of } = this.#at(place);
    if (!of.has(change)) of.set(change, this.now());
  }

  /** A wake of the change has arrived at the place. */
  woken(place: Place, change: Change): void {
    this.arrived(place, change);
    const { woken } = this.#at(place);
    if (!woken.has(change)) woken.set(change, { at: this.now(), ms: this.nowMs() });
  }

  arrivedAt(place: Place, change: Change): number | undefined {
    return this.#at(place).of.get(change);
  }

  wokenAt(place: Place, change: Change): Moment | undefined {
    return this.#at(place).woken.get(change);
  }

  /** When the place first lost its channel or got a new one, after `since` and after the change. */
  coveredAt(place: Place, { appliedAt }: Change, since = Number.POSITIVE_INFINITY): number | undefined {
    const { lostAt, confirmedAt } = this.#at(place);
    const isCover = (at: number) => at > since && at > appliedAt;
    const firsts = [lostAt.find(isCover), confirmedAt.find(isCover)].filter((at) => at !== undefined);
    return firsts.length === 0 ? undefined : Math.min(...firsts);
  }

  /** Judges a copy in another place. `why` says how a change makes it old, if it does. */
  ofCopy(
    { id, nonce, fresh }: Pick<Shown, 'id' | 'nonce' | 'fresh'>,
    why: (change: Change, made: Made) => string | undefined,
  ): string | undefined {
    const made = this.#made.get(nonce);
    for (const change of made === undefined ? [] : this.#changesOf(id)) {
      const how = isChangeOf(change, made as Made, nonce, fresh) ? why(change, made as Made) : undefined;
      if (how !== undefined) return told(nonce, change, how);
    }
    return undefined;
  }

  channelDisconnected(place: Place): void {
    this.#at(place).lostAt.push(this.now());
  }

  channelConfirmed(place: Place): void {
    this.#at(place).confirmedAt.push(this.now());
  }

  /** The place told a caller that the store is lost. */
  storeLost(place: Place): void {
    const at = this.#at(place);
    // The store may have answered between the step that found it lost and this answer. Then the place is not blind.
    if (this.nowMs() - at.storeHeardMs > BALLOT_MS_MAX) at.storeLostAt ??= this.now();
  }

  /** The store has answered the place. */
  storeHeard(place: Place): void {
    const at = this.#at(place);
    at.storeLostAt = undefined;
    at.storeHeardMs = this.nowMs();
  }

  /** Describes the change that makes a shown value old; undefined if there is none. */
  ofValue(place: Place, shown: Shown): string | undefined {
    const { nonce, fresh } = shown;
    return this.#brokenBy(place, shown, (change, made) => isChangeOf(change, made, nonce, fresh));
  }

  /** The same for a hit. Also checks its freshness and its degraded mode. */
  ofHit(
    place: Place,
    shown: Shown,
    { fence, freshForMs }: Pick<Hit, 'fence' | 'freshForMs'>,
    degraded: Degraded,
  ): string[] {
    const old = this.ofValue(place, shown);
    const broken = old === undefined ? [] : [`an answer shows ${old}`];
    const { storeLostAt } = this.#at(place);
    if (fence !== 0) {
      const isBlind = storeLostAt !== undefined && storeLostAt < shown.cameAt;
      if (isBlind && shown.fresh) broken.push('a near value is fresh although the store is reported as lost');
      const late = this.#freshTooLong(shown, freshForMs);
      if (late !== undefined) broken.push(late);
      return broken;
    }
    // No wake would tell a client to drop it.
    if (freshForMs > 0) broken.push('a value that no store has may be cached');
    if (degraded === 'none') broken.push('no store has the value, and the answer is not degraded');
    return broken;
  }

  /** The same for a failure of a lease. */
  ofFailure(place: Place, shown: Shown): string | undefined {
    return this.#brokenBy(
      place,
      { ...shown, fresh: true },
      (change, made) => change.endsFailure && change.appliedAt > made.givenAt,
    );
  }

  /** Nothing is fresh for longer than its publisher said, on the store's clock. */
  #freshTooLong({ nonce, fresh }: Shown, freshForMs: number): string | undefined {
    const { freshMs } = this.#made.get(nonce) ?? {};
    if (freshMs === undefined || !fresh) return undefined;
    const { from, ttl } = freshMs;
    const overMs = this.nowMs() + freshForMs - (from + ttl);
    return overMs > FRESH_MARGIN_MS + ttl * DRIFT_SHARE
      ? `${nonce} is called fresh for ${overMs.toFixed(1)} ms more than it was published for`
      : undefined;
  }

  #brokenBy(
    place: Place,
    { id, nonce, fresh, cameAt }: Shown,
    isChanged: (change: Change, made: Made) => boolean,
  ): string | undefined {
    const made = this.#made.get(nonce);
    const { of, lostAt, confirmedAt } = this.#at(place);
    if (made === undefined) return undefined;
    const [lost, confirmed] = [lastBefore(lostAt, cameAt), lastBefore(confirmedAt, cameAt)];
    for (const change of this.#changesOf(id)) {
      if (!isChanged(change, made)) continue;
      if ((of.get(change) ?? cameAt) < cameAt) return told(nonce, change, `arrived ${BEFORE}`);
      if (change.appliedAt < confirmed) return told(nonce, change, `was covered by a new channel ${BEFORE}`);
      // Without a channel, near values may be served, but not as fresh.
      if (fresh && change.appliedAt < lost)
        return told(nonce, change, `was covered by the lost channel ${BEFORE}`);
    }
    return undefined;
  }

  /** The changes of a key and of its namespace. They share one list, because it is read at every answer. */
  #changesOf(id: string): Change[] {
    const known = this.#ofKey.get(id);
    if (known !== undefined) return known;
    const space = this.#spaceOf(keyFromId(id).namespace);
    const changes = [...space.changes];
    space.ofKeys.push(changes);
    this.#ofKey.set(id, changes);
    return changes;
  }

  #spaceOf(namespace: string): Space {
    const known = this.#spaces.get(namespace);
    if (known !== undefined) return known;
    const space: Space = { changes: [], ofKeys: [] };
    this.#spaces.set(namespace, space);
    return space;
  }

  #change(what: Change['what'], more: Pick<Change, 'nonce' | 'stamped' | 'endsFailure'>): Change {
    return { what, appliedAt: this.now(), appliedMs: this.nowMs(), ...more };
  }

  #keep(id: string, change: Change): Change {
    this.#changesOf(id).push(change);
    return change;
  }

  #at(place: Place): Arrivals {
    const known = this.#arrivals.get(place);
    if (known !== undefined) return known;
    const none = {
      of: new Map(),
      woken: new Map(),
      lostAt: [],
      confirmedAt: [],
      storeLostAt: undefined,
      storeHeardMs: Number.NEGATIVE_INFINITY,
    };
    this.#arrivals.set(place, none);
    return none;
  }
}

const BEFORE = 'before the call came';

function isChangeOf(change: Change, made: Made, nonce: string, fresh: boolean): boolean {
  if (change.what === 'mark_stale' && !fresh) return false;
  // A stored value dates from its arm. One that was not stored dates from its holder's first moment with the lease.
  const readAt = made.storedAt === undefined ? (made.heldAt ?? made.givenAt) : made.givenAt;
  if (change.what !== 'publish') return change.appliedAt > readAt && concerns(change, made);
  return change.nonce !== nonce && change.appliedAt > (made.storedAt ?? readAt);
}

function concerns({ stamped }: Change, { tags }: Made): boolean {
  return stamped === undefined || stamped.all || stamped.tags.some((tag) => tags.includes(tag));
}

function told(nonce: string, { what, stamped, appliedMs }: Change, how: string): string {
  const of = stamped === undefined ? '' : ` of ${stamped.all ? 'the namespace' : `tags ${stamped.tags}`}`;
  return `${nonce} after a ${what}${of} of ${appliedMs.toFixed(1)} ms, which ${how}`;
}

/** Returns 0 if there is none. */
function lastBefore(moments: readonly number[], at: number): number {
  return moments.findLast((moment) => moment < at) ?? 0;
}
