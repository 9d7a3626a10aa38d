import { rethrowUnlessUnavailable, unavailable } from './degradation/unavailable.js';
import type { HeldLeases } from './leasing/held-leases.js';
import type { RebuildSlots } from './leasing/rebuild-slots.js';
import type { LeaseQuorum } from './ports/lease-quorum.js';
import type { NamespaceStore } from './ports/namespace-store.js';
import type { StoreInvalidated, ValueStore } from './ports/value-store.js';
import type { Changes } from './reading/changes.js';
import type { NearCache } from './reading/near-cache.js';
import type { KeyLoops } from './waiting/key-loops.js';
import type { Key } from './words/key.js';
import type { InvalidateAnswer } from './words/outcome.js';
import type { Limits } from './words/policy.js';
import type { Invalidate } from './words/requests.js';
import type { TagClock } from './words/tag-clock.js';

export interface InvalidateValuesParts {
  readonly store: Pick<ValueStore, 'invalidate'>;
  readonly namespaces: Pick<NamespaceStore, 'invalidate'>;
  readonly quorum: Pick<LeaseQuorum, 'release'>;
  readonly limits: Pick<Limits, 'leaseMsMax'>;
}

/** The parts of this replica that an invalidation notifies. */
export interface InvalidateValuesRooms {
  readonly held: Pick<HeldLeases, 'keyChanged' | 'end'>;
  readonly slots: Pick<RebuildSlots, 'leave'>;
  readonly keyLoops: Pick<KeyLoops, 'changed' | 'wake'>;
  readonly near: Pick<NearCache, 'drop' | 'dropNamespace' | 'dropTags'>;
  readonly changes: Pick<Changes, 'invalidatedHere'>;
}

/**
 * Passes invalidations to the store. Local copies of a key or a tag are dropped when the store answers that step: the
 * answer for another key may be late, and the wake may come later, or never. They are dropped even without an answer,
 * because the step may have been taken.
 */
export class InvalidateValues {
  constructor(
    private readonly parts: InvalidateValuesParts,
    private readonly rooms: InvalidateValuesRooms,
  ) {}

  /** Rejects as `unavailable` unless the store acknowledged every key; repeating it is safe. */
  async invalidate(request: Invalidate): Promise<InvalidateAnswer> {
    const isWide = request.all || request.tags.length > 0;
    const stamping = isWide ? this.#stamp(request) : Promise.resolve();
    const voiding = request.keys.map((key) => this.#invalidateKey(key, request.mode));
    const [[stamped], results] = await Promise.all([
      Promise.allSettled([stamping]),
      Promise.allSettled(voiding),
    ]);
    let keysInvalidated = 0;
    let leasesVoided = 0;
    let acknowledged = stamped.status === 'fulfilled';
    if (stamped.status === 'rejected') rethrowUnlessUnavailable(stamped.reason);
    for (const result of results) {
      if (result.status === 'rejected') {
        rethrowUnlessUnavailable(result.reason);
        acknowledged = false;
        continue;
      }
      if (result.value.hadValue) keysInvalidated += 1;
      if (result.value.voidedNonce !== undefined) leasesVoided += 1;
    }
    if (!acknowledged)
      throw unavailable(
        'the value store does not answer, so not everything is invalidated; invalidate again',
      );
    return { keysInvalidated, leasesVoided };
  }

  async #invalidateKey(key: Key, mode: Invalidate['mode']): Promise<StoreInvalidated> {
    const { store, limits } = this.parts;
    const step = { mode, keepMs: limits.leaseMsMax };
    const answer = await store.invalidate(key.id, step).catch((error) => {
      this.#drop(key, Number.POSITIVE_INFINITY);
      throw error;
    });
    this.#drop(key, answer.fence);
    if (answer.voidedNonce !== undefined) this.#breakVoided(key, answer.voidedNonce);
    return answer;
  }

  #drop({ id }: Key, fence: number): void {
    const { near, held, keyLoops } = this.rooms;
    near.drop(id);
    held.keyChanged(id);
    keyLoops.changed(id, fence);
  }

  async #stamp(request: Invalidate): Promise<void> {
    const { namespaces } = this.parts;
    const clock = await namespaces.invalidate(request.namespace, request).catch((error) => {
      this.#dropStamped(request, undefined);
      throw error;
    });
    this.#dropStamped(request, clock);
  }

  #dropStamped({ namespace, tags, all }: Invalidate, clock: TagClock | undefined): void {
    const { changes, near } = this.rooms;
    const done = clock && { clockId: clock.id, time: clock.at, tags, all };
    changes.invalidatedHere(namespace, done);
    if (all) near.dropNamespace(namespace);
    else near.dropTags(namespace, tags);
  }

  /** Released at once, so that no caller waits for a rebuild whose publish will be refused. */
  #breakVoided(key: Key, nonce: string): void {
    const { held, keyLoops, slots } = this.rooms;
    held.end(nonce, 'invalidated');
    void this.parts.quorum.release(key.id, nonce).then(() => keyLoops.wake(key.id));
    void slots.leave(key.namespace, nonce);
  }
}
