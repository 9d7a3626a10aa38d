import type { NamespaceInvalidate } from '../../src/coordination/ports/namespace-store.js';
import type { StoreExtend, StoreExtended } from '../../src/coordination/ports/value-store.js';
import type { Call } from '../../src/coordination/words/call.js';
import { type Key, keyOf } from '../../src/coordination/words/key.js';
import type { Limits, Policy } from '../../src/coordination/words/policy.js';
import { Coverage } from './coverage.js';
import { Judge } from './judge.js';
import type { Change } from './old-values.js';
import { SimChance } from './sim-chance.js';
import { type LockNodeWitness, SimLockServer } from './sim-lock-node.js';
import type { SimProcess } from './sim-process.js';
import { LIMITS, type Patience, POLICY, SimReplica } from './sim-replica.js';
import { SimStoreServer, type StoreStep, type StoreWitness } from './sim-store.js';
import { Trace } from './trace.js';
import { VirtualTime } from './virtual-time.js';

/** The result of a call, for its client. */
export type Result<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: Error };

/** No answer: the replica was dead, died, or the answer was lost. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';
}

/** How long a fault has effects after its end. */
const WAKE_MS = 500;

const LOCK_STEPS: Record<string, string> = { acquire: 'vote', extend: 'vote again', release: 'unlock' };

export type Groups = readonly (readonly number[])[];

/** The parts and properties of a fleet. */
export interface Fleet {
  /** Draws the events of the world. */
  readonly chance: SimChance;
  /** Draws for one run of a replica and its connections. */
  chanceOf(replica: string): SimChance;
  readonly nodes: number;
  /** The groups of lock nodes, by their numbers, before and after a rollout. Absent: one group of all. */
  readonly groups?: { readonly before: Groups; readonly after: Groups };
  readonly replicas: number;
  readonly keys: readonly Key[];
  readonly nearCacheBytes: number;
  readonly limits: Limits;
  readonly patience?: Patience;
  /** Replies are late, and nothing else goes wrong. */
  readonly onlyLate?: boolean;
  policyOf(namespace: string): Policy;
}

/** Draws a fleet from a seed. */
export function drawnFrom(seed: number): Fleet {
  const chance = new SimChance(seed);
  const nodes = chance.pick([3, 5, 5]);
  const nearCacheBytes = chance.pick([0, 4_000, 1_000_000]);
  const blue: Policy = {
    ...POLICY,
    maxRebuilds: chance.pick([0, 1, 2]),
    onLoss: chance.pick(['degrade', 'degrade', 'fail']),
    earlyRefreshBeta: chance.pick([0, 1]),
  };
  return {
    ...{ chance, nodes, nearCacheBytes, limits: LIMITS },
    chanceOf: () => chance,
    replicas: chance.pick([2, 3]),
    // The same names in two namespaces, which must never mix.
    keys: ['red', 'blue'].flatMap((space) => ['a', 'b', 'c'].map((name) => keyOf(space, name))),
    policyOf: (namespace) => (namespace === 'blue' ? blue : POLICY),
  };
}

/** One simulated fleet, with everything in it. */
export class World implements LockNodeWitness, StoreWitness {
  readonly time = new VirtualTime();
  readonly chance: SimChance;
  readonly judge: Judge;
  readonly coverage = new Coverage();
  readonly nodes: readonly SimLockServer[];
  readonly store: SimStoreServer;
  readonly replicas: SimReplica[];
  readonly keys: readonly Key[];
  /** The number of current faults of each kind. */
  readonly faults = new Map<string, number>();
  /** When each kind of fault was last healed. */
  readonly #healedMs = new Map<string, number>();
  /** When the store last extended each lease, by its nonce. */
  readonly extendedAt = new Map<string, number>();
  /** Whether answers are no longer lost. */
  quiet = false;
  /** The number of calls without an answer. */
  openCalls = 0;
  /** The groups of lock nodes of each replica, by number. */
  readonly #groups: Groups[];
  readonly #onDeath = new Map<SimReplica, Set<() => void>>();
  #runs = 0;
  #storeTroubleMs = Number.NEGATIVE_INFINITY;

  constructor(
    readonly fleet: Fleet,
    readonly trace: Trace = new Trace(),
  ) {
    this.chance = fleet.chance;
    this.store = new SimStoreServer(this.time, this);
    this.judge = new Judge(
      () => this.time.nowMs,
      () => this.store.nowMs,
    );
    this.nodes = Array.from({ length: fleet.nodes }, (_, at) => new SimLockServer(`n${at}`, this.time, this));
    this.keys = fleet.keys;
    this.#groups = Array.from(
      { length: fleet.replicas },
      () => fleet.groups?.before ?? [[...this.nodes.keys()]],
    );
    this.replicas = this.#groups.map((groups, at) => this.#run(`r${at}`, groups));
  }

  policyOf(namespace: string): Policy {
    return this.fleet.policyOf(namespace);
  }

  /** Adds a line to the trace. If only the digest is needed, `short` stands for the line. */
  say(line: () => string, short: string): void {
    this.trace.add(this.time.nowMs, this.trace.isHeard ? line() : short);
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.time.at(this.time.nowMs + ms, resolve);
    });
  }

  /** The time since the last trouble on the way to the store; 0 during trouble. A paused replica counts too. */
  get sinceStoreTroubleMs(): number {
    return [...this.faults.keys()].some(isStoreTrouble) ? 0 : this.time.nowMs - this.#storeTroubleMs;
  }

  healed(kind: string): void {
    this.#healedMs.set(kind, this.time.nowMs);
    if (isStoreTrouble(kind)) this.#storeTroubleMs = this.time.nowMs;
    const left = (this.faults.get(kind) ?? 1) - 1;
    if (left === 0) this.faults.delete(kind);
    else this.faults.set(kind, left);
  }

  // ——— replicas ———

  /** Kills a replica at once. A later run takes its place. */
  killReplica(at: number): void {
    const replica = this.replicas[at] as SimReplica;
    replica.kill();
    for (const die of this.#onDeath.get(replica) ?? []) die();
    this.#onDeath.delete(replica);
  }

  restartReplica(at: number): void {
    const old = this.replicas[at] as SimReplica;
    // Connections of an ended process are closed, after a drain or a kill.
    this.killReplica(at);
    this.replicas[at] = this.#run(old.name, this.#groups[at] ?? []);
  }

  /** From its next start, the replica uses the groups of lock nodes after the rollout. */
  rollOut(at: number): void {
    this.#groups[at] = this.fleet.groups?.after ?? this.#groups[at] ?? [];
  }

  #run(name: string, numbers: Groups): SimReplica {
    this.#runs += 1;
    const { time, store, fleet } = this;
    const groups = numbers.map((group) => group.map((node) => this.nodes[node] as SimLockServer));
    const { nearCacheBytes, limits } = fleet;
    return new SimReplica(name, {
      ...{ time, groups, store, nearCacheBytes, limits },
      ...(fleet.patience && { patience: fleet.patience }),
      chance: fleet.chanceOf(name),
      policyOf: fleet.policyOf,
    });
  }

  /** Sends one call of a client over the network. `arrived` runs in the replica. What it throws is the call's error. */
  async call<T>(
    replica: SimReplica,
    call: Call,
    arrived: (replica: SimReplica, call: Call) => Promise<T>,
  ): Promise<Result<T>> {
    const { time, chance } = this;
    const lost = !this.quiet && chance.hits(0.05);
    this.openCalls += 1;
    const result = await new Promise<Result<T>>((resolve) => {
      const die = () => resolve({ ok: false, error: new NoAnswer('the replica died') });
      const deaths = this.#onDeath.get(replica) ?? new Set();
      this.#onDeath.set(replica, deaths);
      deaths.add(die);
      const answer = (result: Result<T>) => {
        if (lost) {
          time.at(time.nowMs + chance.pick([10, 200, 1_000]), () =>
            resolve({ ok: false, error: new NoAnswer('the answer was lost') }),
          );
        } else {
          const tookMs = chance.latencyMs(0);
          // If messages take no time, an answer is not a separate step.
          if (tookMs === 0) resolve(result);
          else time.at(time.nowMs + tookMs, () => resolve(result));
        }
        deaths.delete(die);
      };
      const arrive = () => {
        if (replica.dead || !replica.serving) return die();
        replica.run(() => {
          arrived(replica, call).then(
            (value) => answer({ ok: true, value }),
            (error: Error) => answer({ ok: false, error }),
          );
        });
      };
      time.at(time.nowMs + chance.latencyMs(0), arrive, `${call.identity}@${replica.name}`);
    });
    this.openCalls -= 1;
    return result;
  }

  // ——— reports of the servers ———

  stepped(
    step: StoreStep,
    id: string,
    before: never,
    after: never,
    request: never,
    reply: never,
  ): Change | undefined {
    this.#met(step);
    this.say(() => `store ${step} ${id} ${JSON.stringify(request ?? '')} -> ${summary(reply)}`, step + id);
    const { judge } = this;
    if (step === 'extend' && (reply as StoreExtended).extended) {
      this.extendedAt.set((request as StoreExtend).nonce, judge.now());
    }
    return judge.stepped(step, id, before, after, request, reply);
  }

  stamped(namespace: string, request: NamespaceInvalidate): Change {
    this.#met('invalidate tags');
    const { tags, all, mode } = request;
    this.say(() => `store ${mode} ${namespace} ${all ? 'all' : tags}`, `${mode}${tags}`);
    return this.judge.stamped(namespace, request);
  }

  arrived(process: SimProcess, change: Change): void {
    this.judge.oldValues.woken(process, change);
  }

  answered(process: SimProcess, change: Change): void {
    this.judge.oldValues.arrived(process, change);
  }

  heard(process: SimProcess): void {
    this.judge.oldValues.storeHeard(process);
  }

  channel(process: SimProcess, what: 'disconnected' | 'confirmed'): void {
    const { oldValues } = this.judge;
    if (what === 'disconnected') oldValues.channelDisconnected(process);
    else oldValues.channelConfirmed(process);
  }

  lockStepped(name: string): void {
    const step = LOCK_STEPS[name];
    if (step !== undefined) this.#met(step);
  }

  voted(node: SimLockServer, step: 'acquire' | 'extend', id: string, nonce: string): void {
    this.say(() => `${node.name} ${step} ${id} for ${nonce}`, nonce);
    const { forgotAtMs } = node;
    // If the store lost everything, the node may take part in a second first start, about which nothing is promised.
    if (forgotAtMs === undefined || node.clockJumped || this.store.lostAll) return;
    const sinceMs = this.time.nowMs - forgotAtMs;
    if (sinceMs < LIMITS.leaseMsMax)
      this.judge.violated('INV-5', `${node.name} votes ${sinceMs} ms after it forgot`);
  }

  /** Counts a step for every current fault, and for each recent one: a server that was down is not back at once. */
  #met(step: string): void {
    if (this.faults.size > 0) for (const fault of this.faults.keys()) this.#metBy(fault, step);
    if (this.#healedMs.size === 0) return;
    for (const [fault, healedMs] of this.#healedMs) {
      // Time never goes back, so a fault healed this long ago has no more effects.
      if (this.time.nowMs - healedMs >= WAKE_MS) this.#healedMs.delete(fault);
      else if (!this.faults.has(fault)) this.#metBy(fault, step);
    }
  }

  #metBy(fault: string, step: string): void {
    this.coverage.met(fault, step);
    // Each change of a key also sends a wake.
    if (step === 'publish' || step === 'invalidate') this.coverage.met(fault, 'wake');
  }
}

function isStoreTrouble(kind: string): boolean {
  return kind.includes('store') || kind.includes('pauses');
}

/** Leaves out values, which are long and add nothing. */
function summary(reply: unknown): string {
  return (
    JSON.stringify(reply, (name, value) => (name === 'payload' || name === 'labels' ? undefined : value)) ??
    ''
  );
}
