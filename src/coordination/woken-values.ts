import type { Degradation } from './degradation/degradation.js';
import type { Clock } from './ports/clock.js';
import type { Wake, WakeChannel, WokenValue } from './ports/wake-channel.js';
import type { Changes } from './reading/changes.js';
import { hitOf } from './reading/hit-of.js';
import { justStored } from './reading/just-stored.js';
import type { NearCache } from './reading/near-cache.js';
import type { Snapshot } from './reading/snapshot.js';
import { type KeyLoops, SERVED_NONE } from './waiting/key-loops.js';
import type { WaitingRoom } from './waiting/waiting-room.js';
import { keyFromId } from './words/key.js';

export interface WokenValuesParts {
  readonly clock: Clock;
  readonly wakes: Pick<WakeChannel, 'live'>;
}

export interface WokenValuesRooms {
  readonly keyLoops: Pick<KeyLoops, 'note' | 'wake' | 'feed' | 'roomOf'>;
  readonly near: Pick<NearCache, 'peek' | 'changed' | 'fill'>;
  readonly changes: Changes;
  readonly degradation: Pick<Degradation, 'modeOfHit'>;
}

/**
 * Handles the wake of a changed key. If the wake has the value, and that is as good as a read, the near cache and the
 * callers that wait here get it. If there is any doubt, the callers read.
 */
export class WokenValues {
  readonly #publishing = new Map<string, Promise<number>>();

  constructor(
    private readonly parts: WokenValuesParts,
    private readonly rooms: WokenValuesRooms,
  ) {}

  /** A key was published or invalidated. */
  changed(wake: Wake): void {
    const { keyLoops, near } = this.rooms;
    const { id, fence } = wake;
    const storedAtMs = wake.stored === undefined ? undefined : this.#newest(wake);
    near.changed(id, fence);
    keyLoops.note(id, fence);
    const value = storedAtMs && wake.stored?.();
    const snapshot = value && this.#snapshotOf(wake, value, storedAtMs(value));
    if (snapshot === undefined) {
      keyLoops.wake(id);
      return;
    }
    const key = keyFromId(id);
    near.fill(key, snapshot);
    const feeding = keyLoops.feed(key, snapshot.record, snapshot);
    if (this.#publishing.has(id)) this.#publishing.set(id, feeding);
  }

  /**
   * This replica publishes the key, and the wake may come before the answer. Call the returned function once. It
   * resolves to how many callers the wake has served here by then.
   */
  publishing(id: string): () => Promise<number> {
    this.#publishing.set(id, SERVED_NONE);
    return () => {
      const feeding = this.#publishing.get(id) ?? SERVED_NONE;
      this.#publishing.delete(id);
      return feeding;
    };
  }

  /**
   * Whether the value is newer than every change of its key that has arrived here: this wake may have come later than the
   * answer to a later change. If so, returns when it was stored, or earlier, on this replica's clock. Undefined if no
   * one here wants it.
   */
  #newest({ id, fence }: Wake): ((value: WokenValue) => number) | undefined {
    const { keyLoops, near, degradation } = this.rooms;
    const [room, entry] = [keyLoops.roomOf(id), near.peek(id)];
    if (room === undefined && entry === undefined) return undefined;
    // A replica that stood still hears old wakes first, and the channel is not live before its next pong.
    if (!this.parts.wakes.live || degradation.modeOfHit !== 'none') return undefined;
    const read = room && this.#readOfItsLease(room, fence);
    // The length of its lease proves nothing: the store's clock may have been set forward since it was read.
    if (read !== undefined) return ({ storedAfterMs }) => Math.max(read.readAtMs, storedAfterMs);
    return entry !== undefined && isOlder(entry, fence) ? ({ storedAfterMs }) => storedAfterMs : undefined;
  }

  /**
   * The last read of the room, if it shows the value's lease: the value was stored after that read, and so after every
   * change that had arrived when the read was sent. None has arrived since.
   */
  #readOfItsLease({ snapshot, now }: WaitingRoom, fence: number): Snapshot | undefined {
    if (snapshot?.from !== 'store' || snapshot.record.lease?.fence !== fence) return undefined;
    const { sentAt } = snapshot;
    return sentAt >= now.keyAt && this.rooms.changes.allHeardSince(sentAt) ? snapshot : undefined;
  }

  /** Undefined if it may not count, by its tags and its namespace, or is not fresh. */
  #snapshotOf({ id, fence }: Wake, value: WokenValue, readAtMs: number): Snapshot | undefined {
    const { changes } = this.rooms;
    const nowMs = this.parts.clock.nowMs();
    const { tags, clock, rebuild } = value;
    const copy = { sentAt: changes.count, fence, clock, tags };
    if (changes.stands(keyFromId(id).namespace, copy) !== true) return undefined;
    const snapshot: Snapshot = {
      record: { ...justStored(value, fence, clock), rebuild, lastEnd: 'published' },
      readAtMs,
      heardAtMs: nowMs,
      arrivals: 0,
      from: 'publish',
      // All that has arrived was compared with it: its key's changes by their fences, all others by its tags.
      sentAt: copy.sentAt,
    };
    return hitOf(snapshot, nowMs, false)?.fresh === true ? snapshot : undefined;
  }
}

/**
 * The near entry is older than the value of this fence. It would not be there if a change had arrived since it was read,
 * and what had arrived before has no higher fence than its record. So none has arrived that is newer than the value.
 */
function isOlder({ record }: Snapshot, fence: number): boolean {
  return record.fence <= fence && record.valueFence < fence;
}
