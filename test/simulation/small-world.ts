import type { Key } from '../../src/coordination/words/key.js';
import { keyOf } from '../../src/coordination/words/key.js';
import type { GetOrLockAnswer } from '../../src/coordination/words/outcome.js';
import type { Policy } from '../../src/coordination/words/policy.js';
import type { GetOrLock } from '../../src/coordination/words/requests.js';
import { Caller } from './caller.js';
import type { Move, Pick, Verdict } from './orders.js';
import { NoChance } from './sim-chance.js';
import { LIMITS, POLICY, type SimReplica } from './sim-replica.js';
import { Trace } from './trace.js';
import type { Due } from './virtual-time.js';
import { World } from './world.js';

/** Long enough for every replica to connect to every node. */
const WARM_UP_MS = 60;
/** The longest that a small world may take. */
const PLAY_MS_MAX = 20_000;
const PLAYED_AT_A_TIME_MS = 50;
export const LONG_MS = 60_000;
/** The tags of every value. */
export const TAGS: string[] = ['x'];
/** How long a broken wake channel lasts at least. */
const BREAK_MS = 50;

/** What may go wrong in a scenario, in addition to the order of events. */
export interface Misfortunes {
  /** Queues that may lose their next message. */
  readonly lossy?: readonly string[];
  /** Replicas that may pause, and for how long. */
  readonly pauses?: readonly string[];
  readonly pauseMs?: number;
  /** Replicas whose wake channel may break. */
  readonly breaks?: readonly string[];
  /** Replicas that may die. */
  readonly crashes?: readonly string[];
  /** Timers may be early: time may pass while other events are due. */
  readonly earlyTimers?: boolean;
}

/** A small world to be played in every order. */
export interface Scenario {
  readonly name: string;
  readonly replicas?: number;
  readonly nodes?: number;
  readonly nearCacheBytes?: number;
  readonly policy?: Partial<Policy>;
  readonly misfortunes?: Misfortunes;
  /** Prepares the world, in the planned order. Returns what is then played in every order. */
  readonly begin: (world: SmallWorld) => Promise<() => Promise<unknown>>;
}

/** A fleet without randomness, whose messages take no time. Only the order can differ. */
export class SmallWorld extends World {
  readonly key: Key = keyOf('red', 'a');
  #picked: Pick | undefined;
  #over = false;
  readonly #misfortunes: Misfortunes;

  constructor(
    readonly scenario: Scenario,
    trace = new Trace(),
  ) {
    const policy = { ...POLICY, ...scenario.policy };
    super(
      {
        chance: new NoChance('world'),
        chanceOf: (replica) => new NoChance(replica),
        nodes: scenario.nodes ?? 1,
        replicas: scenario.replicas ?? 2,
        keys: [],
        nearCacheBytes: scenario.nearCacheBytes ?? 0,
        limits: { ...LIMITS, waitersPerKeyMax: 1_000, waitersMax: 1_000 },
        policyOf: () => policy,
      },
      trace,
    );
    this.#misfortunes = scenario.misfortunes ?? {};
    // The fleet has run for a while, so there is no first start to wait for.
    for (const node of this.nodes) node.marker = node.run;
    this.store.claimed = true;
  }

  /** Plays the scenario in one order. */
  async playBy(pick: Pick): Promise<Verdict> {
    const { time, judge, scenario } = this;
    await time.runUntil(WARM_UP_MS);
    const play = await this.#played(scenario.begin(this));
    if (play === undefined) throw new Error(`${scenario.name} never begins`);
    this.say(() => 'FROM HERE ON IN ANY ORDER', '');
    this.#picked = pick;
    time.choose = (due) => this.#choose(due);
    await this.#played(play());
    if (!this.#over && !time.ended) judge.violated('INV-9', 'the clients never came to an end');
    return judge.violations.map(({ invariant, what }) => `${invariant}  ${what}`);
  }

  replica(at: number): SimReplica {
    return this.replicas[at] as SimReplica;
  }

  /** Sends one call. If it gets the lease, it publishes at once, at the same replica. */
  async ask(name: string, at: number, request: Partial<GetOrLock> = {}): Promise<GetOrLockAnswer | Error> {
    const caller = new Caller(this, name);
    const answer = await caller.getOrLock(this.key, { request }, this.replica(at));
    if (answer instanceof Error || answer.outcome.kind !== 'lease') return answer;
    const hand = caller.inHand(this.key, answer.outcome);
    await caller.publish(hand, LONG_MS, LONG_MS, this.replica(at), TAGS);
    return answer;
  }

  /** Runs the world until `what` has settled, or the order is abandoned. */
  async #played<T>(what: Promise<T>): Promise<T | undefined> {
    const { time } = this;
    this.#over = false;
    let failed: unknown;
    let result: T | undefined;
    what.then(
      (it) => {
        result = it;
        this.#over = true;
      },
      (error: unknown) => {
        this.#over = true;
        failed = error;
      },
    );
    for (const untilMs = time.nowMs + PLAY_MS_MAX; !this.#over && !time.ended && time.nowMs < untilMs; ) {
      await time.runUntil(time.nowMs + PLAYED_AT_A_TIME_MS);
    }
    if (failed !== undefined) throw failed;
    return result;
  }

  #choose(due: readonly Due[]): Due | undefined {
    if (this.#over) return undefined;
    const faults = this.#faultsAt(due);
    const moves: Move[] = due.map(({ queue }) => ({ name: queue }));
    for (const name of faults.keys()) moves.push({ name, isFault: true });
    const at = this.#picked?.(moves);
    if (at === undefined) return undefined;
    const { name } = moves[at] as Move;
    this.say(() => `— ${name}`, '');
    return due[at] ?? faults.get(name)?.();
  }

  /** The faults that are possible now. Each happens at once, or is the step that it returns. */
  #faultsAt(due: readonly Due[]): Map<string, () => Due> {
    const faults = new Map<string, () => Due>();
    const {
      lossy = [],
      pauses = [],
      crashes = [],
      breaks = [],
      earlyTimers,
      pauseMs = 0,
    } = this.#misfortunes;
    const may = (name: string, happen: () => void) =>
      faults.set(name, () => {
        happen();
        return NOTHING;
      });
    for (const message of due) {
      if (!lossy.includes(message.queue)) continue;
      faults.set(`lose ${message.queue}`, () => {
        message.fire = () => {};
        return message;
      });
    }
    for (const [at, replica] of this.replicas.entries()) {
      const { name } = replica;
      if (replica.dead) continue;
      if (crashes.includes(name)) may(`crash@${name}`, () => this.killReplica(at));
      if (breaks.includes(name) && replica.wakes.live) {
        may(`break@${name}`, () => {
          replica.wakes.goDown();
          this.time.at(this.time.nowMs + BREAK_MS, () => replica.wakes.comeBack(), `mend@${name}`);
        });
      }
      if (!pauses.includes(name) || replica.paused) continue;
      may(`pause@${name}`, () => {
        replica.pause();
        this.time.at(this.time.nowMs + pauseMs, () => replica.resume(), `resume@${name}`);
      });
    }
    if (earlyTimers === true && Number.isFinite(this.time.nextMs)) may(TIME, () => this.time.skip());
    return faults;
  }
}

/** Moves time to the next timer, even if other events are due. */
const TIME = 'time passes';

/** A queue of this name touches everything. */
export const EVERYTHING = '* ';

/** An empty step. The due events are then collected again. */
const NOTHING: Due = { atMs: 0, order: 0, queue: '', isQuiet: true, fire: undefined };

/**
 * The process that a step touches: `r0-n1>` the node, `r0-n1<` the replica, `r0 timers` the replica, `a@r0` too. Empty
 * if the step touches everything.
 */
export function touchedBy(name: string): string {
  const [queue = ''] = name.split(' ').slice(name.startsWith('lose ') ? 1 : 0);
  if (name === TIME || name.startsWith(EVERYTHING)) return '';
  if (queue.includes('@')) return queue.slice(queue.indexOf('@') + 1);
  const [from = '', to = ''] = queue.split('-');
  return to.endsWith('>') ? to.slice(0, -1) : from;
}

/** Two steps commute if they touch different processes and do not concern the same message. */
export function areIndependent(one: string, other: string): boolean {
  const [first, second] = [touchedBy(one), touchedBy(other)];
  if (first === '' || second === '') return false;
  return first !== second;
}
