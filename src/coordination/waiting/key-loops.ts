import type { Degradation } from '../degradation/degradation.js';
import type { Indecision } from '../degradation/indecision.js';
import type { Lateness } from '../degradation/lateness.js';
import { Deadlines } from '../leasing/deadlines.js';
import type { LeaseGranter } from '../leasing/lease-granter.js';
import type { RebuildSlots } from '../leasing/rebuild-slots.js';
import type { Changes } from '../reading/changes.js';
import type { NearReader } from '../reading/near-reader.js';
import { CoordinationError } from '../words/errors.js';
import type { Key } from '../words/key.js';
import type { Degraded } from '../words/outcome.js';
import { PassingMap } from '../words/passing-map.js';
import type { KeyRecord } from '../words/record.js';
import { Answers, type AnswersParts } from './answers.js';
import { KeyLoop, type KeyLoopParts, type Sent } from './key-loop.js';
import { WaiterLimits, type WaiterLimitsParts } from './waiter-limits.js';
import { type Waiter, WaitingRoom } from './waiting-room.js';

export interface KeyLoopsParts extends AnswersParts, WaiterLimitsParts {}

/** What the loops share with the coordinator's other parts. */
export interface KeyLoopsShared {
  readonly granter: LeaseGranter;
  readonly reader: NearReader;
  readonly slots: Pick<RebuildSlots, 'forget'>;
  readonly degradation: Pick<Degradation, 'modeOf' | 'modeOfHit'>;
  readonly indecision: Pick<Indecision, 'seen' | 'attempted'>;
  readonly changes: Changes;
  readonly lateness: Pick<Lateness, 'late' | 'onLate'>;
}

/** How many turns of the event loop a new loop waits for callers that come with its first one. */
const GATHERING_TURNS_MAX = 4;

/**
 * For a caller that does not wait: a read and an attempt take some milliseconds, and this long if they time out. By
 * then, `on_loss: fail` has had its 900 ms. The answer still arrives within a second.
 */
const PROMPT_MS_MAX = 950;

/** A key that callers wait for on this replica, for display. */
export interface ShownWait {
  readonly namespace: string;
  readonly key: string;
  readonly waiters: number;
  /** How long its first caller has waited. */
  readonly longestMs: number;
}

export interface ShownWaits {
  readonly keys: readonly ShownWait[];
  /** All keys that callers wait for, shown or not. */
  readonly count: number;
  /** The longest wait for any of them. */
  readonly longestMs: number;
}

/** {@link KeyLoops.feed} where no caller waits. */
export const SERVED_NONE: Promise<number> = Promise.resolve(0);

/** The loops of all keys that callers ask for. Admits, wakes, times out and dismisses the callers. */
export class KeyLoops {
  readonly #loops = new PassingMap<string, KeyLoop>();
  /** The loops of this turn's new keys, which have not read yet. */
  #beginning = new Set<KeyLoop>();
  /** A caller joined one of them since the last turn. */
  #joined = false;
  readonly #loopParts: KeyLoopParts;
  readonly #deadlines: Deadlines<Waiter>;
  readonly #limits: WaiterLimits;
  readonly #answers: Answers;
  #arrivals = 0;
  #draining = false;

  constructor(
    private readonly parts: KeyLoopsParts,
    private readonly shared: KeyLoopsShared,
  ) {
    const { clock, chance } = parts;
    const { granter, indecision, reader, slots } = shared;
    this.#limits = new WaiterLimits(parts);
    this.#answers = new Answers(parts, this.#limits, shared.degradation);
    this.#deadlines = new Deadlines(clock, (waiter) => this.#expire(waiter));
    this.#loopParts = {
      clock,
      chance,
      granter,
      reader,
      slots,
      indecision,
      answers: this.#answers,
      arrivals: () => this.#arrivals,
      draining: () => this.#draining,
    };
    shared.lateness.onLate(() => {
      for (const loop of this.#loops.values()) void loop.serveWhileLate();
    });
  }

  /** Callers of one key that have no answer yet. */
  waitersOf(id: string): number {
    return this.#loops.get(id)?.room.size ?? 0;
  }

  /** Callers that have no answer yet. */
  get waiters(): number {
    return this.#limits.size;
  }

  /** How long the first caller has waited; 0 if none waits. */
  get longestWaitMs(): number {
    let oldestMs = Number.POSITIVE_INFINITY;
    for (const { room } of this.#loops.values()) {
      if (room.oldestArrivedMs !== undefined) oldestMs = Math.min(oldestMs, room.oldestArrivedMs);
    }
    return oldestMs === Number.POSITIVE_INFINITY ? 0 : this.parts.clock.nowMs() - oldestMs;
  }

  /** The `max` keys with the most callers; among equals, the longest waits come first. */
  shown(max: number): ShownWaits {
    const nowMs = this.parts.clock.nowMs();
    const keys: ShownWait[] = [];
    for (const { room } of this.#loops.values()) {
      const { oldestArrivedMs, size: waiters } = room;
      if (oldestArrivedMs === undefined) continue;
      const { namespace, key } = room.key;
      keys.push({ namespace, key, waiters, longestMs: nowMs - oldestArrivedMs });
    }
    keys.sort((a, b) => b.waiters - a.waiters || b.longestMs - a.longestMs);
    return { keys: keys.slice(0, max), count: keys.length, longestMs: this.longestWaitMs };
  }

  /** How many have arrived before now: the position of the next one in the order of arrival. */
  get arrivals(): number {
    return this.#arrivals;
  }

  /** Admits a caller. Throws `exhausted` if the key, the replica or its identity has as many as it may. */
  admit(waiter: Waiter): void {
    const { key } = waiter.request;
    const known = this.#loops.get(key.id);
    this.#limits.refuseIfFull(waiter.call.identity, known?.room.size ?? 0);
    if (known !== undefined) {
      this.#enter(known.room, waiter);
      this.#serveIfLate(known, waiter);
      this.#joined ||= this.#beginning.has(known);
      known.room.wake();
      return;
    }
    const room = new WaitingRoom(key, this.parts.clock, this.#deadlines, this.shared.changes);
    this.#enter(room, waiter);
    const loop = new KeyLoop(room, this.#loopParts);
    this.#loops.set(key.id, loop);
    this.#serveIfLate(loop, waiter);
    this.#begin(loop);
  }

  /** Wakes the key's loop: there may be something to do for its callers. */
  wake(id: string): void {
    this.#loops.get(id)?.room.wake();
  }

  /** A change of the key has arrived, and its record has this fence since then. */
  changed(id: string, fence: number): void {
    this.note(id, fence);
    this.wake(id);
  }

  /** The same without waking its callers. Feed or wake them at once. */
  note(id: string, fence: number): void {
    const count = this.shared.changes.keyChanged();
    this.#loops.get(id)?.room.change(count, fence);
  }

  /** The callers that wait for the key; undefined where none does. */
  roomOf(id: string): WaitingRoom | undefined {
    return this.#loops.get(id)?.room;
  }

  /** Anything may have changed. */
  wakeAll(): void {
    for (const { room } of this.#loops.values()) room.wake();
  }

  /** {@link KeyLoop.feed}; 0 where no caller waits for the key. */
  feed({ id }: Key, record: KeyRecord, sent: Sent, degraded?: Degraded): Promise<number> {
    return this.#loops.get(id)?.feed(record, sent, degraded) ?? SERVED_NONE;
  }

  /** From now on no caller waits or gets a lease here. Hits are still served. */
  drain(): void {
    this.#draining = true;
    for (const { room } of this.#loops.values()) {
      for (const waiter of room.waiters())
        this.#answers.give(room, waiter, this.#answers.busy(room, 'draining'), 'drain');
    }
  }

  /** Only after `admit` has returned, because its caller does not expect the answer earlier. */
  #serveIfLate(loop: KeyLoop, waiter: Waiter): void {
    if (this.shared.lateness.late) queueMicrotask(() => void loop.serveWhileLate([waiter]));
  }

  /** The loop reads once the callers that have arrived are admitted. The reads of all new loops leave in one write. */
  #begin(loop: KeyLoop): void {
    this.#beginning.add(loop);
    if (this.#beginning.size === 1) void this.#beginAll();
  }

  /**
   * A stampede arrives in several messages, and one read serves all callers that came before it was sent. So while more
   * join the new loops, they wait for the next turn.
   */
  async #beginAll(): Promise<void> {
    for (let turns = 0; turns < GATHERING_TURNS_MAX; turns += 1) {
      this.#joined = false;
      await this.parts.clock.turn();
      if (!this.#joined) break;
    }
    const loops = this.#beginning;
    this.#beginning = new Set();
    for (const loop of loops) void this.#run(loop);
  }

  async #run(loop: KeyLoop): Promise<void> {
    await loop.run();
    // A caller may have come since the loop saw its room empty, between its end and this line.
    if (loop.room.size > 0) return this.#run(loop);
    this.#loops.delete(loop.room.key.id);
    this.shared.slots.forget(loop.room.key);
  }

  #enter(room: WaitingRoom, waiter: Waiter): void {
    this.#limits.enter(waiter.call.identity);
    this.#arrivals += 1;
    // A caller that does not wait gets one read and one attempt, and is dismissed before the room sleeps.
    const waitMs = waiter.patienceMs === 0 ? PROMPT_MS_MAX : waiter.patienceMs;
    const leftMs = Math.min(waitMs, waiter.call.answerInMs);
    waiter.waitsUntilMs = waiter.arrivedMs + leftMs;
    room.enter(waiter, leftMs);
    waiter.call.onCancel(() =>
      this.#answers.fail(room, waiter, new CoordinationError('unavailable', 'the call was cancelled')),
    );
  }

  #expire(waiter: Waiter): void {
    const loop = this.#loops.get(waiter.request.key.id);
    if (loop !== undefined) this.#answers.timeOut(loop.room, waiter);
  }
}
