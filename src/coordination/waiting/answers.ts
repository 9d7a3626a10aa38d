import type { Degradation } from '../degradation/degradation.js';
import type { Chance, Clock } from '../ports/clock.js';
import type { Observer, WaitEnd } from '../ports/observer.js';
import type { Busy, BusyReason, Degraded, Failed, Hit, Lease } from '../words/outcome.js';
import { labelOf } from './answer-labels.js';
import { busy } from './retry-after.js';
import type { WaiterLimits } from './waiter-limits.js';
import type { Waiter, WaitingRoom } from './waiting-room.js';

export interface AnswersParts {
  readonly clock: Clock;
  readonly chance: Chance;
  readonly observer: Observer;
}

/** Gives each caller its one answer, and reports it to the observer. */
export class Answers {
  constructor(
    private readonly parts: AnswersParts,
    private readonly limits: Pick<WaiterLimits, 'leave'>,
    private readonly degradation: Pick<Degradation, 'modeOf' | 'modeOfHit'>,
  ) {}

  /** False if the waiter already had its answer. `degraded` replaces the current degradation. */
  give(
    room: WaitingRoom,
    waiter: Waiter,
    outcome: Hit | Lease | Busy | Failed,
    endedBy: WaitEnd,
    degraded?: Degraded,
  ): boolean {
    if (!this.#left(room, waiter, endedBy)) return false;
    const { observer } = this.parts;
    const { id, namespace } = room.key;
    const { degradation } = this;
    const missing = degraded ?? (outcome.kind === 'hit' ? degradation.modeOfHit : degradation.modeOf(id));
    observer.answered(namespace, labelOf(outcome), missing);
    if (outcome.kind === 'hit' && (waiter.slept || outcome.rebuilding)) {
      room.served += 1;
      observer.saved(namespace, 1);
    }
    waiter.settle({ outcome, degraded: missing });
    return true;
  }

  fail(room: WaitingRoom, waiter: Waiter, error: unknown): void {
    if (!this.#left(room, waiter, waiter.call.cancelled ? 'cancelled' : 'error')) return;
    waiter.settle(error instanceof Error ? error : new Error(String(error)));
  }

  #left(room: WaitingRoom, waiter: Waiter, endedBy: WaitEnd): boolean {
    if (!room.leave(waiter)) return false;
    waiter.call.onCancel(undefined);
    this.limits.leave(waiter.call.identity);
    if (waiter.slept) {
      const { observer, clock } = this.parts;
      waiter.wake(endedBy);
      observer.waited(room.key.namespace, endedBy, clock.nowMs() - waiter.arrivedMs);
    }
    return true;
  }

  /** The waiter's time is up: it gets what the last read had for it, or the reason why there is nothing. */
  timeOut(room: WaitingRoom, waiter: Waiter): void {
    if (!this.giveReady(room, waiter, 'timeout')) this.give(room, waiter, this.#outOfTime(room), 'timeout');
  }

  /** Gives the waiter what is held ready for it. False if nothing may be served now. */
  giveReady(room: WaitingRoom, waiter: Waiter, endedBy: WaitEnd): boolean {
    const ready = waiter.meanwhile?.();
    return ready !== undefined && this.give(room, waiter, ready.hit, endedBy, ready.degraded);
  }

  busy(room: WaitingRoom, reason: BusyReason): Busy {
    const { clock, chance } = this.parts;
    return busy(reason, room, clock.nowMs(), chance.fraction());
  }

  #outOfTime(room: WaitingRoom): Busy {
    if (room.holder !== undefined) return this.busy(room, 'wait_ended');
    return this.busy(room, room.heldBack ? 'budget' : 'undecided');
  }
}
