import {
  type NamespaceInvalidate,
  type NamespaceRecord,
  type SlotRequest,
  STAMPS_MAX,
} from '../coordination/ports/namespace-store.js';
import type { RebuildTimes } from '../coordination/words/record.js';
import { encodeTagClock } from '../coordination/words/tag-clock.js';
import { learned } from './record-steps.js';

/** What is kept of one namespace, with times on the store's clock. Never changed: each step makes a new one. */
export interface MemoryNamespace {
  readonly id: string;
  readonly clock: number;
  readonly rebuild?: RebuildTimes;
  /** Of the tags, and of the whole namespace under the empty name, which no tag has. */
  readonly stamps: ReadonlyMap<string, MemoryStamp>;
  /** When each place ends. */
  readonly places: ReadonlyMap<string, number>;
}

interface MemoryStamp {
  readonly deletedAt: number;
  readonly staleAt: number;
  readonly markedAtMs: number;
}

const NEVER: MemoryStamp = { deletedAt: 0, staleAt: 0, markedAtMs: 0 };

export function begin(freshId: string): MemoryNamespace {
  return { id: freshId, clock: 1, stamps: new Map(), places: new Map() };
}

export function read(space: MemoryNamespace, tags: readonly string[], nowMs: number): NamespaceRecord {
  const { id, clock, rebuild, stamps } = space;
  const seen = {
    clock: encodeTagClock({ id, at: clock }),
    stamps: ['', ...tags].map((tag) => {
      const { deletedAt, staleAt, markedAtMs } = stamps.get(tag) ?? NEVER;
      // Marked before the clock was set back, so that nobody knows how long ago: what it marked is over.
      if (markedAtMs > nowMs) return { deletedAt: Math.max(deletedAt, staleAt), staleAt: 0, staleAgoMs: 0 };
      return { deletedAt, staleAt, staleAgoMs: nowMs - markedAtMs };
    }),
  };
  return rebuild === undefined ? seen : { ...seen, rebuild };
}

export function invalidate(
  space: MemoryNamespace,
  { tags, all, mode }: NamespaceInvalidate,
  nowMs: number,
): MemoryNamespace {
  const clock = space.clock + 1;
  const stamps = new Map(space.stamps);
  for (const name of all ? [''] : tags) {
    const before = stamps.get(name) ?? NEVER;
    stamps.set(
      name,
      mode === 'delete' ? { ...before, deletedAt: clock } : { ...before, staleAt: clock, markedAtMs: nowMs },
    );
  }
  const forgets = stamps.size > STAMPS_MAX;
  return { ...space, clock, stamps: forgets ? new Map([['', { ...NEVER, deletedAt: clock }]]) : stamps };
}

export function learn(space: MemoryNamespace, rebuildMs: number): MemoryNamespace {
  return { ...space, rebuild: learned(space.rebuild, rebuildMs) };
}

export function enter(
  space: MemoryNamespace,
  { slot, max, ttlMs, ttlMsMax }: SlotRequest,
  nowMs: number,
): MemoryNamespace | undefined {
  // What ends later than any that is taken now was taken before the clock was set back.
  const isTaken = (untilMs: number) => untilMs > nowMs && untilMs <= nowMs + ttlMsMax;
  const places = new Map([...space.places].filter(([, untilMs]) => isTaken(untilMs)));
  if (!places.has(slot) && places.size >= max) return undefined;
  return { ...space, places: places.set(slot, nowMs + ttlMs) };
}

export function keep(
  space: MemoryNamespace,
  slot: string,
  as: string,
  ttlMs: number,
  nowMs: number,
): MemoryNamespace | undefined {
  if ((space.places.get(slot) ?? 0) <= nowMs) return undefined;
  const places = new Map(space.places);
  places.delete(slot);
  return { ...space, places: places.set(as, nowMs + ttlMs) };
}

export function leave(space: MemoryNamespace, slot: string): MemoryNamespace | undefined {
  if (!space.places.has(slot)) return undefined;
  const places = new Map(space.places);
  places.delete(slot);
  return { ...space, places };
}
