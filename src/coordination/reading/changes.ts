import type { TagWake } from '../ports/wake-channel.js';
import { decodeTagClock, encodeTagClock, type TagClock } from '../words/tag-clock.js';
import { setNewest } from './bounded-map.js';

/**
 * How many changes of one namespace are remembered. At 20 tag invalidations a second, that is six seconds, longer than
 * most reads and rebuilds.
 */
const REMEMBERED_MAX = 128;
/** How many namespaces are remembered. A forgotten one costs reads of the store, never an old value. */
const NAMESPACES_MAX = 256;
/** How many tag names of one namespace are remembered. */
const TAGS_MAX = 1_024;

/** When a caller came, as a position in the order of the changes that have arrived at this replica. */
export interface Arrival {
  /** The count of all changes. */
  readonly at: number;
  /** The count after the last change of the key. */
  readonly keyAt: number;
  /** The highest fence that a change of the key has reported; Infinity if some of its changes may have been missed. */
  readonly keyFence: number;
  /** The count after the last change of the namespace as a whole, or of any of its tags. */
  readonly wideAt: number;
}

/** What a copy of a value knows about its own age. */
export interface Copy {
  /** The count of changes when its read, or its publish, was sent. */
  readonly sentAt: number;
  /** 0 if the store gave none. */
  readonly fence: number;
  /** The tag clock that the copy is known to be valid for; empty for none. */
  readonly clock: string;
  readonly tags: readonly string[];
}

interface Remembered {
  /** On the namespace's tag clock. */
  readonly time: number;
  readonly count: number;
  /** Absent: the whole namespace. */
  readonly tags: ReadonlySet<string> | undefined;
}

/**
 * The changes that have arrived at this replica, counted in their order. A change is a stored publish, or an
 * invalidation of a key, of a tag or of a namespace. It has arrived once its wake, or the store's answer to the call
 * that made it, was processed here. The counts decide which copy a caller may get: never one from before a change that
 * had arrived before the caller came.
 */
export class Changes {
  #count = 0;
  /** The count after the last change of everything: the wake channel was lost or confirmed again. */
  #everythingAt = 0;
  /** The count when the wake channel was last confirmed. Changes before that may have been missed. */
  #confirmedAt = 0;
  readonly #namespaces = new Map<string, NamespaceChanges>();

  /** How many have arrived. */
  get count(): number {
    return this.#count;
  }

  /** A change of one key. Returns the count after it. */
  keyChanged(): number {
    this.#count += 1;
    return this.#count;
  }

  /** The wake channel is down: from now on changes may be missed. */
  channelDisconnected(): void {
    this.#count += 1;
    this.#everythingAt = this.#count;
  }

  /** The wake channel is confirmed again: anything may have changed while it was down. */
  channelConfirmed(): void {
    this.channelDisconnected();
    this.#confirmedAt = this.#count;
    this.#namespaces.clear();
  }

  /**
   * Tags of a namespace, or all of it, were invalidated. False if an earlier wake was missed, so that anything in the
   * namespace may have changed.
   */
  namespaceChanged(namespace: string, wake: TagWake | undefined): boolean {
    this.#count += 1;
    return this.#of(namespace).changed(wake, this.#count);
  }

  /**
   * This replica has invalidated tags, or all of a namespace, and knows it before any wake. `done` is undefined if the
   * store did not answer; it may have been done.
   */
  invalidatedHere(namespace: string, done: TagWake | undefined): void {
    this.#count += 1;
    this.#of(namespace).invalidatedHere(done, this.#count);
  }

  /**
   * The count up to which the changes after `since` were heard: all of them, unless the channel was lost in between.
   */
  heardUntil(since: number): number {
    return since >= this.#everythingAt ? this.#count : this.#everythingAt - 1;
  }

  /** Whether all changes after `since` were heard: the channel was not lost in between. */
  allHeardSince(since: number): boolean {
    return since >= this.#everythingAt;
  }

  /** Call it before a read of the namespace is sent. From here on its changes are remembered. */
  listenTo(namespace: string): void {
    this.#of(namespace);
  }

  /** A read of the namespace, sent at this count, returned this tag clock. */
  clockRead(namespace: string, clock: string, sentAt: number): void {
    const known = this.#namespaces.get(namespace);
    if (known !== undefined && !known.read(decodeTagClock(clock), sentAt)) {
      this.#count += 1;
      known.forget(this.#count);
    }
  }

  /**
   * The newest tag clock known here, for a clock that was read before. A lease that is armed from now on is newer than
   * every change that has been heard.
   */
  newestClock(namespace: string, read: string): string {
    const last = this.#namespaces.get(namespace)?.last;
    if (last === undefined) return read;
    const { id, at } = decodeTagClock(read);
    return id === last.id && at < last.at ? encodeTagClock(last) : read;
  }

  /** The count after the last change that concerns the namespace as a whole, or any tag of it. */
  wideAt(namespace: string): number {
    return Math.max(this.#everythingAt, this.#of(namespace).changedAt);
  }

  /** Whether the copy may be given to this caller: no change of it had arrived between its read and the caller. */
  allow(namespace: string, copy: Copy, caller: Arrival): boolean {
    const keyStands = copy.sentAt >= caller.keyAt || copy.fence >= caller.keyFence;
    if (!keyStands) return false;
    if (copy.sentAt >= caller.wideAt) return true;
    return this.stands(namespace, copy, caller.at) === true;
  }

  /**
   * Whether the copy, by its tags and its namespace, outlasted the changes up to the count `at`. Undefined if that is
   * unknown.
   */
  stands(namespace: string, { sentAt, clock, tags }: Copy, at = this.#count): boolean | undefined {
    if (sentAt < this.#everythingAt) return undefined;
    return this.#namespaces.get(namespace)?.stands(decodeTagClock(clock), tags, at);
  }

  /**
   * True if neither the whole namespace nor any of the tags was invalidated since the count `since`. False if that is
   * unknown.
   */
  untouchedSince(namespace: string, tags: readonly string[], since: number): boolean {
    return since >= this.#confirmedAt && this.#of(namespace).untouchedSince(tags, since);
  }

  #of(namespace: string): NamespaceChanges {
    const known = this.#namespaces.get(namespace);
    if (known !== undefined) return known;
    // Earlier changes are unknown, so for every existing copy it may have changed just now.
    const begun = new NamespaceChanges(this.#count);
    setNewest(this.#namespaces, namespace, begun, NAMESPACES_MAX);
    return begun;
  }
}

/** What was heard of one namespace's tag clock, without a gap. */
class NamespaceChanges {
  #id: string | undefined;
  /** All changes later than this, on the tag clock, were heard. */
  #from = Number.POSITIVE_INFINITY;
  /** The time of the last wake; undefined before the first. */
  #last: number | undefined;
  #recent: Remembered[] = [];
  /** How many tag names `#recent` has. */
  #tags = 0;
  /** From this count on, `#recent` has all changes. */
  #since: number;

  constructor(
    /** The count after its last change. */
    public changedAt: number,
  ) {
    this.#since = changedAt;
  }

  /** The clock of the last wake; undefined before the first. */
  get last(): TagClock | undefined {
    return this.#id === undefined || this.#last === undefined ? undefined : { id: this.#id, at: this.#last };
  }

  /** False if there was a gap. */
  changed(wake: TagWake | undefined, count: number): boolean {
    this.changedAt = count;
    if (wake === undefined) {
      this.forget(count);
      return false;
    }
    const isNext =
      (this.#id === undefined || this.#id === wake.clockId) &&
      (this.#last === undefined ? wake.time <= this.#from + 1 : wake.time === this.#last + 1);
    if (!isNext) this.forget(count);
    this.#id = wake.clockId;
    this.#last = wake.time;
    if (!isNext) {
      this.#from = wake.time;
      return false;
    }
    this.#remember(wake, count);
    return true;
  }

  /** Its wake comes too, sooner or later, in the order of the others. */
  invalidatedHere(done: TagWake | undefined, count: number): void {
    this.changedAt = count;
    if (done === undefined || (this.#id !== undefined && this.#id !== done.clockId)) this.forget(count);
    else this.#remember(done, count);
  }

  /** False if it is not the known clock: the namespace's hash was lost. */
  read({ id, at }: TagClock, sentAt: number): boolean {
    // Changes after this read have their own wakes. Those from before `#since` are unknown.
    if (sentAt < this.#since) return true;
    if (this.#id !== undefined && this.#id !== id) return false;
    // There is no clock yet, so nothing is known about it.
    if (id === '') return true;
    this.#id = id;
    this.#from = Math.min(this.#from, at);
    return true;
  }

  /** Everything in it may have changed. */
  forget(count: number): void {
    this.changedAt = count;
    this.#since = count;
    this.#id = undefined;
    this.#from = Number.POSITIVE_INFINITY;
    this.#last = undefined;
    this.#recent = [];
    this.#tags = 0;
  }

  #remember({ time, tags, all }: TagWake, count: number): void {
    const named = all ? undefined : new Set(tags);
    this.#recent.push({ time, count, tags: named });
    this.#tags += named?.size ?? 0;
    while (this.#recent.length > REMEMBERED_MAX || this.#tags > TAGS_MAX) this.#forgetOldest();
  }

  #forgetOldest(): void {
    const [oldest] = this.#recent.splice(0, 1);
    if (oldest === undefined) return;
    this.#tags -= oldest.tags?.size ?? 0;
    if (Number.isFinite(this.#from)) this.#from = Math.max(this.#from, oldest.time);
    this.#since = oldest.count;
  }

  stands(clock: TagClock, tags: readonly string[], at: number): boolean | undefined {
    if (clock.id !== this.#id || clock.at < this.#from) return undefined;
    return !this.#recent.some((it) => it.time > clock.at && it.count <= at && names(it, tags));
  }

  untouchedSince(tags: readonly string[], since: number): boolean {
    if (since < this.#since) return false;
    return !this.#recent.some((it) => it.count > since && names(it, tags));
  }
}

function names(change: Remembered, tags: readonly string[]): boolean {
  return change.tags === undefined || tags.some((tag) => change.tags?.has(tag));
}
