import { endOf, labelOf } from './answer-labels.js';
import type { RebuildSlots } from '../leasing/rebuild-slots.js';
import type { Changes } from '../reading/changes.js';
import type { Chance } from '../ports/clock.js';
import { busy, worded } from './retry-after.js';
import { WaiterLimits, type WaiterLimitsParts } from './waiter-limits.js';
import { Deadlines } from '../leasing/deadlines.js';
import { decide } from './decide.js';
import { CoordinationError } from '../words/errors.js';
import type { Key } from '../words/key.js';
import type { Degradation } from '../degradation/degradation.js';
import type { Attempt, LeaseGranter } from '../leasing/lease-granter.js';
import type { LeasePorts } from '../leasing/lease-lifecycle.js';
import type { NearReader } from '../reading/near-reader.js';
import type { Observer, WaitEnd } from '../ports/observer.js';
import type { Busy, BusyReason, Degraded, Failed, Hit, Lease, LeaseReason } from '../words/outcome.js';
import { POLL_MS_MAX, restMs, retryMs } from './backoff.js';
import type { KeyRecord } from '../words/record.js';
import type { Snapshot } from '../reading/snapshot.js';
import { type Waiter, WaitingRoom } from './waiting-room.js';

export interface KeyLoopsParts extends LeasePorts, WaiterLimitsParts {
  readonly chance: Chance;
  readonly observer: Observer;
}

/** For a caller that does not wait: a look and an attempt take some milliseconds, and this if they run into time-outs. */
const PROMPT_MS_MAX = 1_000;
/** What is kept of a call's deadline for the answer's way back, but never more than a tenth of it. */
const DEADLINE_MARGIN_MS = 50;
/** Answers in one go before the event loop gets its turn: over unary gRPC, some ten milliseconds. */
const ANSWERS_PER_TURN = 256;

/** Attempts after which there is something new to look at. */
const WITHOUT_PAUSE: ReadonlySet<Attempt['kind']> = new Set(['granted', 'read_again', 'abandoned']);

/** A caller that may try for the lease, and what for. */
interface Contender {
  readonly waiter: Waiter;
  readonly act: 'attempt' | 'adopt';
  readonly reason: LeaseReason;
  /** What serves it where no lease is to be had. */
  readonly meanwhile: Hit | undefined;
}

/**
 * Attends to the keys that somebody asks for. One loop a key looks, answers whom it can, makes one attempt
 * at a time, and sleeps until something changes, until everybody has left.
 */
export class KeyLoops {
  readonly #rooms = new Map<string, WaitingRoom>();
  readonly #deadlines: Deadlines<Waiter>;
  readonly #waiterLimits: WaiterLimits;
  #arrivals = 0;
  #draining = false;

  constructor(
    private readonly parts: KeyLoopsParts,
    private readonly granter: LeaseGranter,
    private readonly reader: NearReader,
    private readonly slots: Pick<RebuildSlots, 'forget'>,
    private readonly degradation: Pick<Degradation, 'mode' | 'modeOfHit'>,
    private readonly changes: Changes,
  ) {
    this.#waiterLimits = new WaiterLimits(parts);
    this.#deadlines = new Deadlines(parts.clock, (waiter) => this.#expire(waiter));
  }

  /** Callers of one key that have no answer yet. */
  waitersOf(id: string): number {
    return this.#rooms.get(id)?.size ?? 0;
  }

  /** Callers that have no answer yet. */
  get waiters(): number {
    return this.#waiterLimits.size;
  }

  /** How many have arrived before now: the position of the next one in the order of arrival. */
  get arrivals(): number {
    return this.#arrivals;
  }

  /** Takes a caller in. Throws `exhausted` if the key, the replica or its identity has as many as it may. */
  admit(waiter: Waiter): void {
    const { key } = waiter.request;
    const known = this.#rooms.get(key.id);
    this.#waiterLimits.refuseIfFull(waiter.call.identity, known?.size ?? 0);
    const room = known ?? new WaitingRoom(key, this.parts.clock, this.#deadlines, this.changes);
    this.#enter(room, waiter);
    if (known === undefined) {
      this.#rooms.set(key.id, room);
      void this.#attend(room);
    } else {
      // The look under way may have been sent before it came; the next one is its own.
      room.wake();
    }
  }

  /** There may be something to do for who waits for the key. */
  wake(id: string): void {
    this.#rooms.get(id)?.wake();
  }

  /** A change of the key has arrived; its record has this fence since then. */
  changed(id: string, fence: number): void {
    const count = this.changes.keyChanged();
    this.#rooms.get(id)?.change(count, fence);
  }

  /** Anything may have changed. */
  wakeAll(): void {
    for (const room of this.#rooms.values()) room.wake();
  }

  /**
   * Passes on what happened on this replica, without waiting for any wake or look, to those who came before a
   * change that it does not know; READ_STORE callers look again. `sentAt` is the count of changes when it was
   * sent to the store; `degraded`, what was missing where no store has it. Resolves to how many were served.
   */
  async feed(key: Key, record: KeyRecord, sentAt: number, degraded?: Degraded): Promise<number> {
    const room = this.#rooms.get(key.id);
    if (room === undefined) return 0;
    const before = room.served;
    const readAtMs = this.parts.clock.nowMs();
    await this.#serve(room, { record, readAtMs, arrivals: 0, sentAt, from: 'publish', degraded });
    room.wake();
    return room.served - before;
  }

  /** From now on nobody waits and nobody gets a lease here; hits go on. */
  drain(): void {
    this.#draining = true;
    for (const room of this.#rooms.values()) {
      for (const waiter of room.waiters()) this.#answer(room, waiter, this.#busy(room, 'draining'), 'drain');
    }
  }

  // ——— one key's loop ———

  /** Never rejects: what goes wrong is every waiter's answer. */
  async #attend(room: WaitingRoom): Promise<void> {
    let next: Snapshot | undefined;
    let undecided = 0;
    try {
      while (room.size > 0) {
        const snapshot = next ?? (await this.reader.read(room, () => this.#arrivals));
        next = undefined;
        const contender = await this.#serve(room, snapshot);
        if (contender === undefined) {
          undecided = 0;
          if (room.size > 0) await room.sleep(this.#restMs(room));
          continue;
        }
        const attempt = await this.#meanwhile(room, this.#attempt(room, snapshot, contender));
        // What came meanwhile has not served it, and may be all that comes.
        room.owe(contender.waiter);
        room.heldBack = attempt.kind === 'held_back';
        if (attempt.kind === 'granted') next = attempt.snapshot;
        // A value that is fresh is worth one try and no wait: the same snapshot serves its caller now.
        else if (contender.reason === 'early_refresh') next = snapshot;
        else if (room.heldBack && contender.meanwhile !== undefined) {
          this.#answer(room, contender.waiter, contender.meanwhile, 'publish');
        }
        if (next !== undefined || WITHOUT_PAUSE.has(attempt.kind)) continue;
        undecided = attempt.kind === 'undecided' ? undecided + 1 : 0;
        this.#dismissImpatient(room, snapshot);
        if (room.size > 0)
          await room.sleep(undecided > 0 ? retryMs(undecided, this.parts.chance) : this.#restMs(room));
      }
    } catch (error) {
      for (const waiter of room.waiters()) this.#fail(room, waiter, error);
    }
    // No await since the room was seen empty: nobody can have entered it meanwhile.
    this.#rooms.delete(room.key.id);
    this.slots.forget(room.key);
  }

  /** While an attempt is under way, whoever comes and whatever wakes the room is looked after. */
  async #meanwhile(room: WaitingRoom, attempting: Promise<Attempt>): Promise<Attempt> {
    let over = false;
    const ended = () => {
      over = true;
      room.rouse();
    };
    attempting.then(ended, ended);
    while (!over) {
      await room.sleep(POLL_MS_MAX);
      if (over) break;
      // The attempt may outlast those who were here when it began.
      if (room.size > 0) await this.#serve(room, await this.reader.read(room, () => this.#arrivals), true);
      else room.beginRead();
    }
    return attempting;
  }

  /** Answers everyone whom the snapshot answers, and returns the oldest of those who may try, if nobody does already. */
  async #serve(room: WaitingRoom, snapshot: Snapshot, attempting = false): Promise<Contender | undefined> {
    const { clock, chance } = this.parts;
    let contender: Contender | undefined;
    let answers = 0;
    for (const waiter of room.note(snapshot)) {
      // Its attempt looks for itself, when it arms; only news from this replica is quicker.
      if (waiter.trying && snapshot.from !== 'publish') continue;
      const decision = decide(snapshot, waiter, clock.nowMs());
      const meanwhile = decision.act === 'attempt' ? decision.meanwhile : undefined;
      if (decision.act === 'answer') {
        const outcome = worded(decision.outcome, room, clock.nowMs(), chance.fraction());
        this.#answer(room, waiter, outcome, endOf(outcome), snapshot.degraded);
        answers += 1;
      } else if (meanwhile !== undefined && (attempting || contender !== undefined || this.#draining)) {
        this.#answer(room, waiter, meanwhile, 'publish');
        answers += 1;
      } else if (this.#draining && decision.act !== 'read_again') {
        this.#answer(room, waiter, this.#busy(room, 'draining'), 'drain');
      } else if (decision.act === 'adopt' || decision.act === 'attempt') {
        const reason = decision.act === 'adopt' ? 'miss' : decision.reason;
        if (!attempting) {
          contender ??= { waiter, act: decision.act, reason, meanwhile: decision.meanwhile };
        }
      } else if (decision.act === 'wait') this.#letWait(room, snapshot, waiter);
      else this.#readAgain(room, waiter);
      if (answers === ANSWERS_PER_TURN) {
        answers = 0;
        await clock.turn();
      }
    }
    return contender;
  }

  async #attempt(room: WaitingRoom, snapshot: Snapshot, contender: Contender): Promise<Attempt> {
    const { waiter, reason } = contender;
    // The serving may have taken turns, and the caller may have left in one of them.
    if (waiter.gone) return { kind: 'abandoned' };
    if (reason === 'early_refresh') waiter.refreshDraw = 0;
    waiter.trying = true;
    waiter.meanwhile = contender.meanwhile;
    const attempt = await this.#atTheDesk(room, snapshot, contender);
    waiter.trying = false;
    waiter.meanwhile = undefined;
    if (attempt.kind !== 'granted') return attempt;
    // Between the granter's last look at the waiter and this line, a publish may have served it.
    if (this.#answer(room, waiter, attempt.lease, 'lease', attempt.degraded)) return attempt;
    await this.granter.giveBack(room.key, attempt.lease);
    return { kind: 'abandoned' };
  }

  async #atTheDesk(room: WaitingRoom, snapshot: Snapshot, contender: Contender): Promise<Attempt> {
    const { waiter, act, reason, meanwhile } = contender;
    try {
      if (act === 'adopt') return await this.granter.adopt(room.key, snapshot, waiter);
      return await this.granter.attempt(room.key, snapshot, waiter, reason, () => this.#arrivals);
    } catch (error) {
      // A namespace that rather fails than degrades still serves what it has.
      if (!(error instanceof CoordinationError) || meanwhile === undefined) throw error;
      this.#answer(room, waiter, meanwhile, 'publish');
      return { kind: 'abandoned' };
    }
  }

  /** The snapshot is older than the caller allows. Without the wake, it would sleep until the poll, for its own was spent. */
  #readAgain(room: WaitingRoom, waiter: Waiter): void {
    room.owe(waiter);
    room.wake();
  }

  #restMs({ holder }: WaitingRoom): number {
    const { chance, clock } = this.parts;
    return restMs(holder === undefined ? undefined : holder.untilMs - clock.nowMs(), chance);
  }

  // ——— one caller ———

  #enter(room: WaitingRoom, waiter: Waiter): void {
    const { deadlineMs } = waiter.call;
    this.#waiterLimits.enter(waiter.call.identity);
    this.#arrivals += 1;
    // A caller that does not wait has its look and its attempt, and is dismissed before the room sleeps.
    const waitMs = waiter.patienceMs === 0 ? PROMPT_MS_MAX : waiter.patienceMs;
    const deadlineLeftMs = deadlineMs - Math.min(DEADLINE_MARGIN_MS, deadlineMs / 10);
    const leftMs = Math.max(0, Math.min(waitMs, deadlineLeftMs));
    waiter.waitsUntilMs = waiter.arrivedMs + leftMs;
    room.enter(waiter, leftMs);
    waiter.call.onCancel(() =>
      this.#fail(room, waiter, new CoordinationError('unavailable', 'the call was cancelled')),
    );
  }

  #expire(waiter: Waiter): void {
    const room = this.#rooms.get(waiter.request.key.id);
    if (room !== undefined) this.#answer(room, waiter, waiter.meanwhile ?? this.#outOfTime(room), 'timeout');
  }

  /** False if the waiter had its answer already. */
  #answer(
    room: WaitingRoom,
    waiter: Waiter,
    outcome: Hit | Lease | Busy | Failed,
    endedBy: WaitEnd,
    degraded: Degraded | undefined = undefined,
  ): boolean {
    if (!this.#left(room, waiter, endedBy)) return false;
    const { observer } = this.parts;
    const { namespace } = room.key;
    const missing = degraded ?? (outcome.kind === 'hit' ? this.degradation.modeOfHit : this.degradation.mode);
    observer.answered(namespace, labelOf(outcome), missing);
    if (outcome.kind === 'hit' && (waiter.slept || outcome.rebuilding)) {
      room.served += 1;
      observer.saved(namespace, 1);
    }
    waiter.settle({ outcome, degraded: missing });
    return true;
  }

  #fail(room: WaitingRoom, waiter: Waiter, error: unknown): void {
    if (!this.#left(room, waiter, waiter.call.cancelled ? 'cancelled' : 'error')) return;
    waiter.settle(error instanceof Error ? error : new Error(String(error)));
  }

  #left(room: WaitingRoom, waiter: Waiter, endedBy: WaitEnd): boolean {
    if (!room.leave(waiter)) return false;
    waiter.call.onCancel(undefined);
    this.#waiterLimits.leave(waiter.call.identity);
    if (waiter.slept) {
      const { observer, clock } = this.parts;
      waiter.wake(endedBy);
      observer.waited(room.key.namespace, endedBy, clock.nowMs() - waiter.arrivedMs);
    }
    return true;
  }

  /** A lease runs: the caller sleeps until something changes, or is told so if it does not wait. */
  #letWait(room: WaitingRoom, snapshot: Snapshot, waiter: Waiter): void {
    waiter.waitsForFence = snapshot.record.lease?.fence ?? 0;
    if (waiter.patienceMs > 0) waiter.sleep(snapshot.record.lease?.traceparent);
    else this.#answer(room, waiter, this.#outOfTime(room), 'timeout');
  }

  /** There was no winner, and there is a pause before the next attempt: whoever does not wait is told so. */
  #dismissImpatient(room: WaitingRoom, snapshot: Snapshot): void {
    for (const waiter of room.waiters()) {
      if (waiter.patienceMs > 0) waiter.sleep();
      else if (waiter.arrival < snapshot.arrivals) {
        this.#answer(room, waiter, this.#outOfTime(room), 'timeout');
      }
    }
  }

  #outOfTime(room: WaitingRoom): Busy {
    if (room.holder !== undefined) return this.#busy(room, 'wait_ended');
    return this.#busy(room, room.heldBack ? 'budget' : 'undecided');
  }

  #busy(room: WaitingRoom, reason: BusyReason): Busy {
    const { clock, chance } = this.parts;
    return busy(reason, room, clock.nowMs(), chance.fraction());
  }
}
