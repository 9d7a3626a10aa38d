import type { Clock } from '../coordination/ports/clock.js';
import type { Observer, WaitEnd } from '../coordination/ports/observer.js';
import type {
  BusyReason,
  Degraded,
  LeaseEnd,
  PublishOutcome,
  ShownDegraded,
} from '../coordination/words/outcome.js';
import { Durations, RecentDurations } from './durations.js';
import { RecentCounts } from './recent-counts.js';
import { RecentVotes } from './recent-votes.js';

/** The period that is kept, shown as "the last minutes". */
const WINDOW_S = 300;
/** The period of a rate: long enough to read, short enough to be current. */
const RATE_S = 10;
/**
 * Durations are kept in periods of this length, so their window is exact to this length. A shorter one costs memory:
 * each period of each kind is a histogram of 35 kB.
 */
const PART_S = 30;
const STEPS_MAX = 20;

type Answered = 'hit' | 'stale' | 'lease' | 'failed' | BusyReason;

/** All names of a type, in this order. A missing one does not compile. */
const all = <Name extends string>(names: Record<Name, true>) => Object.keys(names) as Name[];

const ANSWERS = all<Answered>({
  hit: true,
  stale: true,
  lease: true,
  failed: true,
  wait_ended: true,
  deadline_too_short: true,
  undecided: true,
  budget: true,
  draining: true,
  no_value: true,
});
const PUBLISHES = all<PublishOutcome>({
  stored: true,
  stored_late: true,
  duplicate: true,
  superseded: true,
  invalidated: true,
  unknown_lease: true,
  not_stored: true,
});
const LEASE_ENDS = all<LeaseEnd>({
  published: true,
  released: true,
  failed: true,
  expired: true,
  session_lost: true,
  invalidated: true,
  cancelled: true,
});
const WAIT_ENDS = all<WaitEnd>({
  publish: true,
  lease: true,
  failure: true,
  timeout: true,
  cancelled: true,
  drain: true,
  error: true,
});

/**
 * What happened in the last minutes, for the console, in a fixed amount of memory. A hit costs one addition. The
 * rest is done once a second.
 */
export class Recent implements Omit<Observer, 'storeLate' | 'storeStep' | 'undecided' | 'publishUnanswered'> {
  readonly #answers = new RecentCounts(ANSWERS, WINDOW_S);
  readonly #publishes = new RecentCounts(PUBLISHES, WINDOW_S);
  readonly #leaseEnds = new RecentCounts(LEASE_ENDS, WINDOW_S);
  readonly #saved = new RecentCounts(['saved'], WINDOW_S);
  readonly #waits = new RecentCounts(WAIT_ENDS, WINDOW_S);
  readonly #waitedBy = new Map(WAIT_ENDS.map((end) => [end, new RecentDurations(WINDOW_S / PART_S)]));
  /** Of the current second. A complete second keeps only its percentiles. */
  readonly #waited = new Durations();
  readonly #percentiles: ({ readonly p50Ms: number; readonly p99Ms: number } | undefined)[] = [];
  readonly #votes: RecentVotes;
  /** Of the last decision, if there was one. */
  #mode: ShownDegraded = 'unknown';
  #steps: { readonly from: Degraded; readonly to: Degraded; readonly atMs: number }[] = [];
  #secondEndsMs: number;
  #seconds = 0;
  #stop: () => void = () => {};

  constructor(private readonly clock: Clock) {
    this.#votes = new RecentVotes({ clock, seconds: WINDOW_S, durationParts: WINDOW_S / PART_S });
    this.#secondEndsMs = clock.nowMs() + 1_000;
    this.#awaitSecond();
  }

  answered(_namespace: string, outcome: Answered): void {
    this.#answers.add(outcome);
  }

  waited(_namespace: string, endedBy: WaitEnd, waitedMs: number): void {
    this.#waits.add(endedBy);
    this.#waited.add(waitedMs);
    this.#waitedBy.get(endedBy)?.add(waitedMs);
  }

  published(_namespace: string, outcome: PublishOutcome): void {
    this.#publishes.add(outcome);
  }

  leaseEnded(_namespace: string, end: LeaseEnd): void {
    this.#leaseEnds.add(end);
  }

  saved(_namespace: string, count: number): void {
    this.#saved.add('saved', count);
  }

  degraded(mode: Degraded): void {
    if (mode === this.#mode) return;
    const from = this.#mode === 'unknown' ? 'none' : this.#mode;
    this.#mode = mode;
    if (mode === from) return;
    this.#steps = [{ from, to: mode, atMs: this.clock.nowMs() }, ...this.#steps].slice(0, STEPS_MAX);
  }

  voted(...told: Parameters<RecentVotes['voted']>): void {
    this.#votes.voted(...told);
  }

  stateChanged(node: string, why: string): void {
    this.#votes.stateChanged(node, why);
  }

  /** Everything, as of the last complete second. */
  shown(nodes: Iterable<readonly [node: string, state: string]>) {
    const counted = <Name extends string>(counts: RecentCounts<Name>, names: readonly Name[]) =>
      names.map((name) => ({
        name,
        count: counts.over(name, WINDOW_S),
        perSecond: counts.perSecond(name, RATE_S),
      }));
    const nowMs = this.clock.nowMs();
    return {
      windowS: WINDOW_S,
      rateS: RATE_S,
      lastSecondAgoMs: nowMs - (this.#secondEndsMs - 1_000),
      answers: counted(this.#answers, ANSWERS),
      publishes: counted(this.#publishes, PUBLISHES),
      leaseEnds: counted(this.#leaseEnds, LEASE_ENDS),
      saved: { count: this.#saved.over('saved', WINDOW_S), total: this.#saved.total('saved') },
      waits: { byEnd: this.#waitsByEnd(), seconds: this.#waitsBySecond() },
      degraded: {
        mode: this.#mode,
        steps: this.#steps.map(({ from, to, atMs }) => ({ from, to, agoMs: nowMs - atMs })),
      },
      nodes: this.#votes.shown(nodes),
    };
  }

  stop(): void {
    this.#stop();
  }

  #waitsByEnd() {
    return WAIT_ENDS.map((endedBy) => {
      const sum = this.#waitedBy.get(endedBy)?.sum();
      const count = this.#waits.over(endedBy, WINDOW_S);
      return { endedBy, count, p50Ms: sum?.percentileMs(0.5), p99Ms: sum?.percentileMs(0.99) };
    });
  }

  /** The seconds with ended waits, newest first. */
  #waitsBySecond() {
    return this.#percentiles.flatMap((percentiles, ago) => {
      if (percentiles === undefined) return [];
      const ended = WAIT_ENDS.map((end) => [end, this.#waits.within(end, ago)] as const);
      return [
        { agoS: ago, ended: Object.fromEntries(ended.filter(([, count]) => count > 0)), ...percentiles },
      ];
    });
  }

  #awaitSecond(): void {
    this.#stop = this.clock.after(this.#secondEndsMs - this.clock.nowMs(), () => {
      // More than one after this process was paused. Events of the pause belong to the first of them.
      this.#secondEndsMs = Math.max(this.#secondEndsMs, this.clock.nowMs() - WINDOW_S * 1_000);
      while (this.#secondEndsMs <= this.clock.nowMs()) this.#endSecond();
      this.#awaitSecond();
    });
  }

  #endSecond(): void {
    this.#secondEndsMs += 1_000;
    this.#seconds += 1;
    for (const counts of [this.#answers, this.#publishes, this.#leaseEnds, this.#saved, this.#waits]) {
      counts.endSecond();
    }
    this.#votes.endSecond();
    const [p50Ms, p99Ms] = [this.#waited.percentileMs(0.5), this.#waited.percentileMs(0.99)];
    this.#percentiles.unshift(p50Ms === undefined || p99Ms === undefined ? undefined : { p50Ms, p99Ms });
    this.#percentiles.length = Math.min(this.#percentiles.length, WINDOW_S);
    this.#waited.clear();
    if (this.#seconds % PART_S > 0) return;
    for (const waited of this.#waitedBy.values()) waited.endPart();
    this.#votes.endPart();
  }
}
