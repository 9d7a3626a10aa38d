import type { Indecision } from '../degradation/indecision.js';
import type { Attempt } from '../leasing/attempt.js';
import type { LeaseGranter } from '../leasing/lease-granter.js';
import type { RebuildSlots } from '../leasing/rebuild-slots.js';
import type { EarlyVotes } from '../leasing/votes.js';
import type { Chance, Clock } from '../ports/clock.js';
import { hitOf } from '../reading/hit-of.js';
import type { NearReader } from '../reading/near-reader.js';
import { leaseLeftMs, type Snapshot } from '../reading/snapshot.js';
import { CoordinationError } from '../words/errors.js';
import type { Degraded, Hit, LeaseReason } from '../words/outcome.js';
import type { KeyRecord } from '../words/record.js';
import { endOf } from './answer-labels.js';
import type { Answers } from './answers.js';
import { POLL_MS_MAX, restMs, retryMs } from './backoff.js';
import { type Decision, decide, stillServing } from './decide.js';
import { worded } from './retry-after.js';
import type { Waiter, WaitingRoom } from './waiting-room.js';

/** When something was sent to the store, or happened here, in the fields of a snapshot. */
export type Sent = Pick<Snapshot, 'readAtMs' | 'sentAt'>;

export interface KeyLoopParts {
  readonly clock: Clock;
  readonly chance: Chance;
  readonly granter: LeaseGranter;
  readonly reader: NearReader;
  readonly slots: Pick<RebuildSlots, 'forget'>;
  readonly answers: Answers;
  readonly indecision: Pick<Indecision, 'seen' | 'attempted'>;
  /** How many callers have arrived at this replica before now. */
  readonly arrivals: () => number;
  /** True once no caller may wait and none may get a lease. */
  readonly draining: () => boolean;
}

/** Pause as after this many undecided votes: a connection that was cut is back within some ten milliseconds. */
const RETRIES_WITHOUT_WORD = 5;
/** How many answers are given before the event loop gets its turn: over unary gRPC, some ten milliseconds. */
const ANSWERS_PER_TURN = 256;
/** This many bytes of a value count as one more answer, because they are copied for each caller. */
const BYTES_PER_ANSWER = 16_384;

/** Attempts after which there is something new to read. */
const WITHOUT_PAUSE: ReadonlySet<Attempt['kind']> = new Set(['granted', 'read_again', 'abandoned']);

/** A caller that may try for the lease, and why. */
interface Contender {
  /** Another one as soon as this one has left and its attempt has been handed on. */
  waiter: Waiter;
  readonly act: 'attempt' | 'adopt';
  readonly reason: LeaseReason;
}

/**
 * One key, from its first caller to its last: a miss from top to bottom. The loop reads the record, answers every
 * caller that the snapshot can answer, makes one attempt at the lease for the oldest of the others, and sleeps until
 * something changes.
 */
export class KeyLoop {
  constructor(
    readonly room: WaitingRoom,
    private readonly parts: KeyLoopParts,
  ) {}

  /** Ends when no caller is left. Never rejects: an error becomes every waiter's answer. */
  async run(): Promise<void> {
    const { room } = this;
    const { answers, arrivals, chance, indecision, reader } = this.parts;
    let next: Snapshot | undefined;
    let undecided = 0;
    const early = this.#voteEarly();
    try {
      while (room.size > 0) {
        const snapshot = next ?? (await reader.read(room, arrivals));
        next = undefined;
        if (snapshot === undefined) {
          early?.giveUp();
          // The store is there but gave no answer. Read again after a pause.
          await room.sleep(retryMs(RETRIES_WITHOUT_WORD, chance));
          continue;
        }
        const { fence } = snapshot.record;
        indecision.seen(room.key.id, fence);
        const contender = await this.#serve(snapshot);
        if (contender === undefined) {
          early?.giveUp();
          undecided = 0;
          this.#leaveLine();
          if (room.size > 0) await room.sleep(this.#restMs());
          continue;
        }
        const attempt = await this.#meanwhile(this.#attempt(snapshot, contender, early));
        early?.giveUp();
        indecision.attempted(room.key.id, fence, attempt);
        // What came during the attempt has not served it, and nothing more may come.
        room.owe(contender.waiter);
        room.heldBack = attempt.kind === 'held_back';
        if (attempt.kind === 'granted') next = attempt.snapshot;
        // A value that is fresh is worth one attempt and no wait: the same snapshot serves its caller now.
        else if (contender.reason === 'early_refresh') next = snapshot;
        else if (room.heldBack) answers.giveReady(room, contender.waiter, 'publish');
        if (next !== undefined || WITHOUT_PAUSE.has(attempt.kind)) continue;
        undecided = attempt.kind === 'undecided' ? undecided + 1 : 0;
        this.#dismissImpatient(snapshot);
        if (room.size > 0) await room.sleep(undecided > 0 ? retryMs(undecided, chance) : this.#restMs());
      }
    } catch (error) {
      for (const waiter of room.waiters()) answers.fail(room, waiter, error);
    } finally {
      early?.giveUp();
    }
  }

  /** Its callers wait for a lease that another replica has given: the next key in line may have the slot. */
  #leaveLine(): void {
    const { room } = this;
    if (!room.heldBack || room.holder === undefined) return;
    room.heldBack = false;
    this.parts.slots.forget(room.key);
  }

  /** Asks the lock nodes together with the first read if that read will find nothing. */
  #voteEarly(): EarlyVotes | undefined {
    const { room } = this;
    const { draining, granter, reader } = this.parts;
    const expired = reader.expired(room);
    if (expired === undefined || draining()) return undefined;
    let first: Waiter | undefined;
    for (const waiter of room.waiters()) {
      if (waiter.storeOnly) return undefined;
      if (waiter.intent === 'rebuild') first ??= waiter;
    }
    return first && granter.voteEarly(room.key, first, expired);
  }

  /**
   * Passes on what happened on this replica, without waiting for a wake or a read, to the callers that came before
   * every change that is missing from it. READ_STORE callers read again. `degraded` is what was missing if the store
   * does not have it. Resolves to how many were served.
   */
  async feed(record: KeyRecord, sent: Sent, degraded: Degraded | undefined): Promise<number> {
    const { room } = this;
    const before = room.served;
    await this.#serve({ record, ...sent, arrivals: 0, from: 'publish', degraded });
    room.wake();
    return room.served - before;
  }

  /**
   * The store is late. Callers that accept a stale value get what this replica has; the others wait. The value is
   * called stale even if it may be fresh, because changes at the store are unknown.
   */
  async serveWhileLate(waiters: Iterable<Waiter> = this.room.waiters()): Promise<void> {
    const { room } = this;
    const { answers, clock, reader } = this.parts;
    const known = reader.known(room);
    const nowMs = clock.nowMs();
    const hit = known && hitOf(known, nowMs, leaseLeftMs(known, nowMs) > 0);
    if (known === undefined || hit === undefined) return;
    const stale: Hit = { ...hit, fresh: false, freshForMs: 0 };
    let given = 0;
    for (const waiter of waiters) {
      const isServed = waiter.staleAllowed && !waiter.storeOnly && waiter.intent !== 'refresh';
      if (!isServed || waiter.trying || !waiter.allows(known)) continue;
      answers.give(room, waiter, stale, endOf(stale), known.degraded);
      given += weightOf(known);
      if (given < ANSWERS_PER_TURN) continue;
      given = 0;
      await clock.turn();
    }
  }

  /** Keeps reading while an attempt is under way, for new callers and for wakes. */
  async #meanwhile(attempting: Promise<Attempt>): Promise<Attempt> {
    const { room } = this;
    const { reader, arrivals } = this.parts;
    let over = false;
    const ended = () => {
      over = true;
      room.rouse();
    };
    attempting.then(ended, ended);
    while (!over) {
      // There is nothing to poll for while no caller is here, and the next one wakes the room.
      await room.sleep(room.size > 0 ? POLL_MS_MAX : Number.POSITIVE_INFINITY);
      if (over) break;
      // The attempt may outlast the callers that were here when it began.
      const snapshot = room.size > 0 ? await reader.read(room, arrivals) : undefined;
      if (snapshot !== undefined) await this.#serve(snapshot, true);
      else room.beginRead();
    }
    return attempting;
  }

  /**
   * Answers every caller that the snapshot can. Returns the oldest that may try for the lease, unless one is trying.
   */
  async #serve(snapshot: Snapshot, attempting = false): Promise<Contender | undefined> {
    const { clock } = this.parts;
    let contender: Contender | undefined;
    let given = 0;
    for (const waiter of this.room.note(snapshot)) {
      // Its attempt reads the record itself when it arms. Only news from this replica is quicker.
      if (waiter.trying && snapshot.from !== 'publish') continue;
      const decision = decide(snapshot, waiter, clock.nowMs());
      this.#holdReady(decision, snapshot, waiter);
      const mayTry = !attempting && contender === undefined && !this.parts.draining();
      if ((decision.act === 'attempt' || decision.act === 'adopt') && mayTry) {
        const reason = decision.act === 'adopt' ? 'miss' : decision.reason;
        contender = { waiter, act: decision.act, reason };
      } else if (this.#answerBy(decision, snapshot, waiter)) given += weightOf(snapshot);
      if (given >= ANSWERS_PER_TURN) {
        given = 0;
        await clock.turn();
      }
    }
    return contender;
  }

  /**
   * What the caller gets if its time is up before it has a lease. It stays until another read replaces it: an attempt
   * may end without a lease, and the caller's time may end before the next one, while a fresh value is there.
   */
  #holdReady(decision: Decision, snapshot: Snapshot, waiter: Waiter): void {
    if (decision.act === 'read_again') return;
    const hit = 'meanwhile' in decision ? decision.meanwhile : undefined;
    waiter.meanwhile = hit && (() => stillServing(snapshot, hit, waiter, this.parts.clock.nowMs()));
  }

  /** True if the caller was answered by the decision. */
  #answerBy(decision: Decision, snapshot: Snapshot, waiter: Waiter): boolean {
    const { room } = this;
    const { answers, chance, clock, draining } = this.parts;
    if (decision.act === 'answer') {
      const outcome = worded(decision.outcome, room, clock.nowMs(), chance.fraction());
      answers.give(room, waiter, outcome, endOf(outcome), snapshot.degraded);
      return true;
    }
    if (decision.act === 'attempt' && decision.meanwhile !== undefined) {
      answers.give(room, waiter, decision.meanwhile, 'publish', snapshot.degraded);
      return true;
    }
    if (decision.act === 'read_again') {
      room.owe(waiter);
      // Without this wake the room would sleep until the poll, because the wake of this caller's arrival was used up.
      room.wake();
    } else if (draining()) answers.give(room, waiter, answers.busy(room, 'draining'), 'drain');
    else if (decision.act === 'wait') this.#letWait(snapshot, waiter);
    return false;
  }

  async #attempt(snapshot: Snapshot, contender: Contender, early?: EarlyVotes): Promise<Attempt> {
    const { room } = this;
    const { answers, granter } = this.parts;
    const { reason } = contender;
    // Serving may have taken turns, and the caller may have left in one of them.
    if (contender.waiter.gone) return { kind: 'abandoned' };
    if (reason === 'early_refresh') contender.waiter.refreshDraw = 0;
    contender.waiter.trying = true;
    const attempt = await this.#ask(snapshot, contender, early);
    const { waiter } = contender;
    waiter.trying = false;
    if (attempt.kind !== 'granted') return attempt;
    // Between the granter's last check of the waiter and this line, a publish may have served it.
    if (answers.give(room, waiter, attempt.lease, 'lease', attempt.degraded)) return attempt;
    await granter.giveBack(room.key, attempt.lease);
    return { kind: 'abandoned' };
  }

  async #ask(snapshot: Snapshot, contender: Contender, early?: EarlyVotes): Promise<Attempt> {
    const { room } = this;
    const { answers, arrivals, granter } = this.parts;
    const { waiter, act, reason } = contender;
    try {
      if (act === 'adopt') return await granter.adopt(room.key, snapshot, waiter);
      const next = () => this.#handOn(snapshot, contender);
      return await granter.attempt(room.key, { snapshot, waiter, reason, arrivals, next, early });
    } catch (error) {
      // A namespace with `on_loss: fail` still serves what it has.
      if (!(error instanceof CoordinationError) || !answers.giveReady(room, contender.waiter, 'publish'))
        throw error;
      return { kind: 'abandoned' };
    }
  }

  /**
   * The contender has left. Its attempt goes on to the oldest caller that may try for the same lease. It must have the
   * same identity, because the lease's secret belongs to one identity.
   */
  #handOn(snapshot: Snapshot, contender: Contender): Waiter | undefined {
    if (this.parts.draining()) return undefined;
    const { reason, waiter: gone } = contender;
    const nowMs = this.parts.clock.nowMs();
    for (const waiter of this.room.waiters()) {
      const isLike =
        waiter.call.identity === gone.call.identity && waiter.request.leaseMs === gone.request.leaseMs;
      if (!isLike || waiter.gone) continue;
      const decision = decide(snapshot, waiter, nowMs);
      if (decision.act !== 'attempt' || decision.reason !== reason) continue;
      waiter.trying = true;
      contender.waiter = waiter;
      return waiter;
    }
    return undefined;
  }

  #restMs(): number {
    const { chance, clock } = this.parts;
    const { holder } = this.room;
    return restMs(holder === undefined ? undefined : holder.untilMs - clock.nowMs(), chance);
  }

  /** A lease runs: the caller sleeps until something changes, or gets Busy if it does not wait. */
  #letWait(snapshot: Snapshot, waiter: Waiter): void {
    const { lease } = snapshot.record;
    waiter.waitsForFence = lease?.fence ?? 0;
    if (waiter.patienceMs > 0) waiter.sleep(lease);
    else this.parts.answers.timeOut(this.room, waiter);
  }

  /** There was no winner, and a pause comes before the next attempt: a caller that does not wait gets Busy. */
  #dismissImpatient(snapshot: Snapshot): void {
    for (const waiter of this.room.waiters()) {
      if (waiter.patienceMs > 0) waiter.sleep();
      else if (waiter.arrival < snapshot.arrivals) this.parts.answers.timeOut(this.room, waiter);
    }
  }
}

/** How many small answers one with this value costs. */
function weightOf({ record: { value } }: Snapshot): number {
  const bytes = value?.payload.kind === 'value' ? value.payload.bytes.byteLength : 0;
  return 1 + Math.floor(bytes / BYTES_PER_ANSWER);
}
