import { Coordinator } from '../../src/coordination/coordinator.js';
import { NO_OBSERVER } from '../../src/coordination/ports/observer.js';
import { defaultPolicy, type Limits, type Policy } from '../../src/coordination/words/policy.js';
import type { Edge } from '../../src/grpc/answer.js';
import { Sessions } from '../../src/grpc/session/sessions.js';
import { Turns } from '../../src/grpc/turns.js';
import { lockGroupOf } from '../../src/quorum/lock-group.js';
import { RedlockQuorum } from '../../src/quorum/redlock-quorum.js';
import { SeparateRuns } from '../../src/quorum/separate-runs.js';
import { ShardedQuorum } from '../../src/quorum/sharded-quorum.js';
import type { SimChance } from './sim-chance.js';
import { SimLink } from './sim-link.js';
import { SILENT_MS_MAX, SimLockConnection } from './sim-lock-connection.js';
import type { SimLockServer } from './sim-lock-node.js';
import { ProcessClock, SimProcess } from './sim-process.js';
import type { SimSessionStream } from './sim-session-stream.js';
import { SimStoreLink, type SimStoreServer, STORE_CALL_MS_MAX } from './sim-store.js';
import { SimWakeChannel } from './sim-wake-channel.js';
import type { VirtualTime } from './virtual-time.js';

export const NODE_TIMEOUT_MS = 100;
const FIRST_CONTACT_MS_MAX = 10_000;
/** Longer than any world lasts. */
const AGE_MS = 1_000_000_000;

/** Short times, so that much happens in little time. Low waiter limits, so that they are reached. */
export const LIMITS: Limits = {
  leaseMs: 1_000,
  leaseMsMin: 100,
  leaseMsMax: 2_000,
  waitMsMax: 4_000,
  valueBytesMax: 1_000,
  waitersPerKeyMax: 12,
  waitersMax: 24,
  storeTimeoutMs: 100,
  silenceMs: 400,
};

export interface Patience {
  readonly storeMs: number;
  readonly nodesMs: number;
}

const PATIENCE: Patience = { storeMs: STORE_CALL_MS_MAX, nodesMs: SILENT_MS_MAX };

export interface ReplicaParts {
  readonly time: VirtualTime;
  readonly chance: SimChance;
  /** The groups of lock nodes. */
  readonly groups: readonly (readonly SimLockServer[])[];
  readonly store: SimStoreServer;
  /** Small, so that values are also evicted. */
  readonly nearCacheBytes: number;
  readonly limits?: Limits;
  /** How long the replica waits for replies. */
  readonly patience?: Patience;
  policyOf(namespace: string): Policy;
}

export const POLICY: Policy = { ...defaultPolicy(LIMITS), failureBackoffMs: 100 };

/** One run of one replica: the production coordinator and quorum, in a process that can be paused and killed. */
export class SimReplica extends SimProcess {
  readonly coordinator: Coordinator;
  readonly #quorums: readonly RedlockQuorum[];
  readonly links: readonly SimLink[];
  readonly nodeLinks: readonly SimLink[];
  readonly storeLink: SimLink;
  readonly wakeLink: SimLink;
  readonly wakes: SimWakeChannel;
  /** Whether its port is open. */
  serving = false;
  /** The coordinator's clock. Each quorum has a separate one, because a quorum always has timers for its nodes. */
  readonly clock: ProcessClock;

  /** The streams of its clients' sessions. */
  readonly streams = new Set<SimSessionStream>();
  readonly edge: Edge;
  readonly #turns = new Turns((turn) => this.#atEndOfTurn(turn));
  #sessions: Sessions | undefined;
  readonly #sessionClock: ProcessClock;

  constructor(name: string, parts: ReplicaParts) {
    const { time, chance, groups, store, limits = LIMITS, patience = PATIENCE } = parts;
    super(name, time);
    // Within half of the drift bound, so that any two clocks are within it.
    const rate = chance.between(0.996, 1.004);
    const offsetMs = chance.below(1_000_000);
    this.clock = new ProcessClock(time, this, rate, offsetMs);
    const link = (to: string) => new SimLink(time, chance, `${name}-${to}`);
    const connections = groups.map((nodes) =>
      nodes.map((node) => new SimLockConnection(node, this, link(node.name), time, patience.nodesMs)),
    );
    this.storeLink = link('store');
    this.wakeLink = link('wakes');
    const storeLink = new SimStoreLink(store, this, this.storeLink, time, patience.storeMs);
    this.wakes = new SimWakeChannel(store, this, this.wakeLink, time, this.clock);
    this.nodeLinks = connections.flat().map((connection) => connection.link);
    this.links = [...this.nodeLinks, this.storeLink, this.wakeLink];
    const runs = new SeparateRuns();
    const isOnly = groups.length === 1;
    this.#quorums = connections.map((nodes) => {
      const group = lockGroupOf(
        nodes.map((node) => node.name),
        isOnly ? 'only' : 'others',
      );
      return new RedlockQuorum({
        ...{ nodes, group, runs, chance },
        claim: storeLink.claimOf(group.name, isOnly),
        clock: new ProcessClock(time, this, rate, offsetMs),
        timeoutMs: NODE_TIMEOUT_MS,
        silenceMs: limits.silenceMs,
        leaseMsMax: limits.leaseMsMax,
      });
    });
    const [only] = this.#quorums;
    this.coordinator = new Coordinator({
      store: storeLink,
      namespaces: storeLink.namespaces,
      nearCacheBytes: parts.nearCacheBytes,
      quorum: isOnly && only !== undefined ? only : new ShardedQuorum(this.#quorums),
      wakes: this.wakes,
      clock: this.clock,
      chance,
      limits,
      policyOf: parts.policyOf,
      observer: NO_OBSERVER,
    });
    this.#sessionClock = new ProcessClock(time, this, rate, offsetMs);
    this.edge = {
      ...{ coordinator: this.coordinator, limits, policyOf: parts.policyOf, holder: '' },
      ...{ guard: undefined, tracing: undefined, session: undefined, unexpected: raise, failed: () => {} },
      pace: (rest) => this.#turns.begin(rest),
    };
    for (const quorum of this.#quorums) quorum.start();
    // As in the composition root: decisions before the first contact would be degraded for no reason.
    const ready = this.#quorums.map((quorum) => quorum.ready(FIRST_CONTACT_MS_MAX));
    const serve = () => {
      this.serving = true;
    };
    void (ready.length === 1 ? (ready[0] as Promise<void>) : Promise.all(ready)).then(serve);
  }

  /** The states of its lock nodes. */
  get states(): string[] {
    return this.#quorums.flatMap((quorum) => [...quorum.states().values()]);
  }

  /** Created for the first client, so that a world without clients does not pay for beats. */
  get sessions(): Sessions {
    const { edge, wakes } = this;
    this.#sessions ??= new Sessions({
      ...{ edge, wakes, turns: this.#turns, clock: this.#sessionClock, graceMs: 0, ageMs: AGE_MS },
      atEndOfTurn: (flush) => this.#atEndOfTurn(flush),
    });
    return this.#sessions;
  }

  /** Runs `fire` after everything that follows from this turn. */
  #atEndOfTurn(fire: () => void): void {
    const { time } = this;
    void Promise.resolve().then(() => time.at(time.nowMs, () => this.run(fire), this.timers));
  }

  drain(): void {
    this.#sessions?.drain();
    this.coordinator.drain();
  }

  override kill(): void {
    super.kill();
    for (const stream of [...this.streams]) stream.breakOff();
  }
}

function raise(cause: unknown): void {
  throw cause;
}
