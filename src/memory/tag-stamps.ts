import { MARKS_MAX, type NamespaceInvalidate, type Stamp } from '../coordination/ports/namespace-store.js';
import { TagFloor } from './tag-floor.js';

interface MemoryMark {
  readonly at: number;
  readonly atMs: number;
}

interface MemoryStamp {
  readonly deletedAt: number;
  /** Oldest first. */
  readonly marks: readonly MemoryMark[];
}

const NEVER: MemoryStamp = { deletedAt: 0, marks: [] };

/** When the tags of one namespace were invalidated, and when all of it was. */
export class TagStamps {
  #all = NEVER;
  /** In the order of their stamping, oldest first. */
  readonly #tags = new Map<string, MemoryStamp>();
  /** Absent until a stamp is forgotten. */
  #floor: TagFloor | undefined;

  constructor(private readonly stampsMax: number) {}

  get size(): number {
    return this.#tags.size;
  }

  stamp(
    { tags, all, mode }: Pick<NamespaceInvalidate, 'tags' | 'all' | 'mode'>,
    clock: number,
    nowMs: number,
  ): void {
    if (all) this.#stampAll(mode, clock, nowMs);
    else {
      for (const tag of tags) {
        const next = stamped(this.#stampOf(tag), mode, clock, nowMs);
        // The order of the map is the order of stamping.
        this.#tags.delete(tag);
        this.#tags.set(tag, next);
      }
    }
    for (const [oldest, stamp] of this.#tags) {
      if (this.#tags.size <= this.stampsMax) break;
      this.#tags.delete(oldest);
      this.#floor ??= new TagFloor();
      this.#floor.forget(oldest, lastOf(stamp));
    }
  }

  read(tags: readonly string[], nowMs: number): Stamp[] {
    // What was marked before the clock was set back does not return when the clock reaches that time.
    if (hasFuture(this.#all, nowMs)) this.#all = withoutFuture(this.#all, nowMs);
    for (const tag of tags) {
      const stamp = this.#tags.get(tag);
      // The map keeps the order of the tags.
      if (stamp !== undefined && hasFuture(stamp, nowMs)) this.#tags.set(tag, withoutFuture(stamp, nowMs));
    }
    return [this.#all, ...tags.map((tag) => this.#stampOf(tag))].map((stamp) => seen(stamp, nowMs));
  }

  #stampAll(mode: NamespaceInvalidate['mode'], clock: number, nowMs: number): void {
    this.#all = stamped(this.#all, mode, clock, nowMs);
    if (mode === 'mark_stale') return;
    // A deleted namespace needs no older stamp.
    this.#tags.clear();
    this.#floor = undefined;
  }

  #stampOf(tag: string): MemoryStamp {
    const known = this.#tags.get(tag);
    if (known !== undefined && known.deletedAt > 0) return known;
    const floor = this.#floor?.of(tag) ?? 0;
    return floor === 0 ? (known ?? NEVER) : { deletedAt: floor, marks: known?.marks ?? [] };
  }
}

function stamped(
  before: MemoryStamp,
  mode: NamespaceInvalidate['mode'],
  clock: number,
  nowMs: number,
): MemoryStamp {
  if (mode === 'delete') return { deletedAt: clock, marks: [] };
  return { ...before, marks: withMark(before.marks, { at: clock, atMs: nowMs }) };
}

/**
 * Keeps the times of earlier marks, because a value counts its stale time from the first mark after its lease. If there
 * are too many, the two that are closest relative to their age become one, with the earlier time. So what they marked
 * may end a little too early, never too late.
 */
function withMark(before: readonly MemoryMark[], mark: MemoryMark): MemoryMark[] {
  const marks = [...before, mark];
  if (marks.length <= MARKS_MAX) return marks;
  let closest = 0;
  let least = Number.POSITIVE_INFINITY;
  for (let at = 0; at + 1 < marks.length; at++) {
    const [atMs, nextMs] = [marks[at]?.atMs ?? 0, marks[at + 1]?.atMs ?? 0];
    const share = (nextMs - atMs) / (mark.atMs - atMs + 1);
    if (share < least) [closest, least] = [at, share];
  }
  const [earlier, later] = marks.slice(closest, closest + 2);
  if (earlier !== undefined && later !== undefined)
    marks.splice(closest, 2, { at: later.at, atMs: earlier.atMs });
  return marks;
}

function lastOf({ deletedAt, marks }: MemoryStamp): number {
  return Math.max(deletedAt, marks.at(-1)?.at ?? 0);
}

function hasFuture({ marks }: MemoryStamp, nowMs: number): boolean {
  return marks.some(({ atMs }) => atMs > nowMs);
}

/** Marked before the clock was set back. How long ago is unknown, so what it marked has expired. */
function withoutFuture({ deletedAt, marks }: MemoryStamp, nowMs: number): MemoryStamp {
  const overAt = Math.max(deletedAt, ...marks.filter(({ atMs }) => atMs > nowMs).map(({ at }) => at));
  return { deletedAt: overAt, marks: marks.filter(({ at }) => at > overAt) };
}

/** Marks before the deletion do not count: a forgotten stamp may have been the deletion. */
function seen({ deletedAt, marks }: MemoryStamp, nowMs: number): Stamp {
  const after = marks.filter(({ at }) => at > deletedAt);
  return { deletedAt, marks: after.map(({ at, atMs }) => ({ at, agoMs: nowMs - atMs })) };
}
