import Redlock, { ExecutionError, type ExecutionStats, Lock, ResourceLockedError } from 'redlock';
import { driftMs } from '../coordination/leasing/drift.js';
import type { Chance, Clock } from '../coordination/ports/clock.js';
import type { Ballot, LeaseQuorum, LockGroup, VoteListener } from '../coordination/ports/lease-quorum.js';
import { Amnesia } from './amnesia.js';
import type { FirstStartClaim } from './first-start-claim.js';
import { GroupCommit } from './group-commit.js';
import { lockGroupOf } from './lock-group.js';
import type { LockNode, LockStep } from './lock-node.js';
import { NO_QUORUM_OBSERVER, type NodeState, type QuorumObserver } from './quorum-observer.js';
import { SameStep } from './same-step.js';
import { SeparateRuns } from './separate-runs.js';
import type { TakeAnswer } from './take-answer.js';
import { Voter } from './voter.js';

export interface RedlockQuorumParts {
  /** An odd number of independent nodes, the same on every replica. */
  readonly nodes: readonly LockNode[];
  /** Whether these nodes have ever voted. */
  readonly claim: FirstStartClaim;
  /** Absent if this is the only group of lock nodes. */
  readonly group?: LockGroup;
  /** Which node votes for which Redis, in all groups of lock nodes. */
  readonly runs?: SeparateRuns;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly observer?: QuorumObserver;
  /** Timeout of one request to one node. */
  readonly timeoutMs: number;
  /** S: a node that owes a reply and is silent for twice as long counts as gone, not as late. */
  readonly silenceMs: number;
  /** The longest lease. Longer ones are shortened to it, because amnesia waits no longer. */
  readonly leaseMsMax: number;
}

/** The listener to the votes of a nonce, and how many are outstanding. */
interface Listener {
  readonly heard: VoteListener;
  left: number;
}

/** What `redlock` treats as a script. It passes the hash to the nodes' clients. */
const SCRIPTS = {
  acquireScript: () => 'acquire',
  extendScript: () => 'extend',
  releaseScript: () => 'release',
};

/**
 * The quorum over the npm package `redlock`, which casts and counts the votes. This class contains the package's
 * faults. README.md lists them, each with its test.
 */
export class RedlockQuorum implements LeaseQuorum {
  readonly #voters: readonly Voter[];
  readonly #majority: number;
  readonly #redlock: Redlock;
  readonly #amnesia: Amnesia;
  readonly #group: LockGroup;
  readonly #commit: GroupCommit<TakeAnswer>;
  /** By nonce. */
  readonly #listeners = new Map<string, Listener>();
  #nonce = '';
  #awaitingReady: (() => void)[] = [];
  #isClosed = false;

  /** Throws a RangeError for an even number of nodes, because two halves could never decide. */
  constructor(private readonly parts: RedlockQuorumParts) {
    const { nodes, clock, chance, claim, timeoutMs, silenceMs, leaseMsMax } = parts;
    if (nodes.length % 2 === 0) throw new RangeError('a quorum needs an odd number of lock nodes');
    this.#majority = (nodes.length + 1) / 2;
    this.#group = parts.group ?? lockGroupOf(nodes.map(({ name }) => name));
    this.#amnesia = new Amnesia({ clock, claim });
    const changed = () => this.#tellIfReady();
    const observer = this.#whileOpen(parts.observer ?? NO_QUORUM_OBSERVER);
    const runs = parts.runs ?? new SeparateRuns((node) => observer.sharesStore(node));
    const commit = new GroupCommit<TakeAnswer>(clock);
    this.#commit = commit;
    const common = { runs, commit, clock, chance, observer, timeoutMs, silenceMs, leaseMsMax, changed };
    this.#voters = nodes.map((node) => new Voter({ ...common, amnesia: this.#amnesia, node }));
    this.#redlock = this.#redlockOver(this.#voters);
  }

  /** Starts to connect. Before {@link ready}, ballots may be `unavailable`. */
  start(): void {
    this.#amnesia.start(this.#voters, () => this.#tellIfReady());
    for (const voter of this.#voters) voter.start();
  }

  /** Resolves when a majority votes, when all nodes have reported and no first start is running, or after a timeout. */
  ready(timeoutMs: number): Promise<void> {
    if (this.#isReady()) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.parts.clock.after(timeoutMs, resolve);
      this.#awaitingReady.push(() => {
        cancel();
        resolve();
      });
    });
  }

  /** Writes all sent steps first. Later ballots are `unavailable`. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#amnesia.close();
    this.#commit.flush();
    await Promise.all(this.#voters.map((voter) => voter.close()));
    this.#tellReady();
  }

  /** The state of each node, by name. */
  states(): ReadonlyMap<string, NodeState> {
    return new Map(this.#voters.map((voter) => [voter.name, voter.state]));
  }

  groupOf(): LockGroup {
    return this.#group;
  }

  async acquire(id: string, nonce: string, leaseMs: number, heard?: VoteListener): Promise<Ballot> {
    const ttlMs = this.#ttlOf(leaseMs);
    const askedMs = this.parts.clock.nowMs();
    // The package reads it before its first await.
    this.#nonce = nonce;
    if (heard !== undefined) this.#listeners.set(nonce, { heard, left: this.#voters.length });
    try {
      await this.#redlock.acquire([id], ttlMs);
    } catch (error) {
      // The package sent the release to every node before it threw this.
      return this.#refusalOf(error);
    }
    const ballot = this.#grantOf(nonce, askedMs, ttlMs);
    if (ballot.kind !== 'granted') await this.release(id, nonce);
    return ballot;
  }

  async extend(id: string, nonce: string, leaseMs: number): Promise<Ballot> {
    const ttlMs = this.#ttlOf(leaseMs);
    const askedMs = this.parts.clock.nowMs();
    try {
      await this.#redlock.extend(this.#lockOf(id, nonce), ttlMs);
    } catch (error) {
      return this.#refusalOf(error);
    }
    return this.#grantOf(nonce, askedMs, ttlMs);
  }

  /**
   * Resolves when a majority says that the lock is gone, or need not be waited for. The rest expires. This is no vote, and
   * not left to the package: its way costs 30 promises.
   */
  release(id: string, nonce: string): Promise<void> {
    const step: LockStep = { id, nonce };
    return new Promise((resolve) => {
      let left = this.#majority;
      const done = () => {
        left -= 1;
        if (left === 0) resolve();
      };
      for (const voter of this.#voters) voter.release(step, done);
    });
  }

  /** The package's clients, one per node. The package treats them as Redis clients. */
  #redlockOver(voters: readonly Voter[]): Redlock {
    const steps = new SameStep();
    const redlock: Redlock = new Redlock(
      voters.map((voter) => clientOf({ voter, steps, ask: this.#ask, scripts: () => redlock.scripts })),
      { retryCount: 0 },
      SCRIPTS,
    );
    // The package would use the machine's randomness. A simulation must repeat every draw.
    Object.defineProperty(redlock, '_random', { value: () => this.#nonce });
    return redlock;
  }

  /** The voter's `ask`, which also reports each vote to the listener of its nonce. */
  readonly #ask: Ask = (voter, step, told) => {
    const listener = this.#listeners.get(step.nonce);
    if (listener === undefined) {
      voter.ask(step, told);
      return;
    }
    const { clock } = this.parts;
    const askedMs = clock.nowMs();
    voter.ask(step, (vote) => {
      listener.left -= 1;
      if (listener.left === 0) this.#listeners.delete(step.nonce);
      listener.heard(voter.name, vote === 'late' ? 'missing' : vote, clock.nowMs() - askedMs);
      told(vote);
    });
  };

  /** Ends of connections while closing are expected: they are not reported as a state of a node or as trouble. */
  #whileOpen(observer: QuorumObserver): QuorumObserver {
    return {
      voted: (...vote) => observer.voted(...vote),
      stateChanged: (...change) => {
        if (!this.#isClosed) observer.stateChanged(...change);
      },
      sharesStore: (node) => observer.sharesStore(node),
    };
  }

  /** A lock that any replica may have taken. Infinity stops the package from using its wall clock. */
  #lockOf(id: string, nonce: string): Lock {
    return new Lock(this.#redlock, [id], nonce, [], Number.POSITIVE_INFINITY);
  }

  /** Redis and the package need whole milliseconds. */
  #ttlOf(leaseMs: number): number {
    return Math.min(Math.ceil(leaseMs), this.parts.leaseMsMax);
  }

  #grantOf(nonce: string, askedMs: number, ttlMs: number): Ballot {
    // Counted on the monotonic clock from before the first request. Every node started its own count later, so no
    // node drops the lock before this ends.
    const validUntilMs = askedMs + ttlMs - driftMs(ttlMs);
    if (validUntilMs <= this.parts.clock.nowMs()) return { kind: 'undecided' };
    return { kind: 'granted', nonce, validUntilMs };
  }

  async #refusalOf(error: unknown): Promise<Ballot> {
    const votes = error instanceof ExecutionError ? await error.attempts[0] : undefined;
    // No votes at all: the package rejected its input, and no node was asked.
    if (votes === undefined) return UNAVAILABLE;
    const held = heldVotes(votes);
    if (held >= this.#majority) return { kind: 'held' };
    const voted = votes.votesFor.size + held;
    if (voted >= this.#majority) return { kind: 'undecided' };
    return voted + lateVotes(votes) >= this.#majority ? LATE : UNAVAILABLE;
  }

  #isReady(): boolean {
    const states = this.#voters.map((voter) => voter.state);
    if (states.filter((state) => state === 'voting').length >= this.#majority) return true;
    return !this.#amnesia.busy && states.every((state) => state !== 'connecting');
  }

  #tellIfReady(): void {
    if (this.#isReady()) this.#tellReady();
  }

  #tellReady(): void {
    const waiting = this.#awaitingReady;
    this.#awaitingReady = [];
    for (const tell of waiting) tell();
  }
}

const UNAVAILABLE: Ballot = { kind: 'unavailable' };
const LATE: Ballot = { kind: 'unavailable', late: true };

/** Not a vote: the node may not vote, did not answer, or answered with an error. */
class MissingVote extends Error {
  override readonly name = 'MissingVote';

  /** `late`: no reply came in time, and the node may only be slow. */
  constructor(readonly late: boolean) {
    super();
  }
}

/** One of each, because an error costs more than a vote. */
const MISSING_VOTE = new MissingVote(false);
const LATE_VOTE = new MissingVote(true);

type Client = Redlock['clients'] extends Set<infer C> ? C : never;
type Ask = (voter: Voter, ...to: Parameters<Voter['ask']>) => void;

interface ClientParts {
  readonly voter: Voter;
  readonly steps: SameStep;
  readonly ask: Ask;
  readonly scripts: () => Redlock['scripts'];
}

function clientOf({ voter, steps, ask, scripts }: ClientParts): Client {
  const client = {
    evalsha(hash: string, _keyCount: number, [id, nonce, ttlMs]: [string, string, number]): Promise<number> {
      const { acquireScript, extendScript, releaseScript } = scripts();
      if (hash === releaseScript.hash) {
        return new Promise((resolve) => voter.release(steps.free(id, nonce), () => resolve(1)));
      }
      if (hash !== acquireScript.hash && hash !== extendScript.hash) throw new Error(`no script ${hash}`);
      const kind = hash === acquireScript.hash ? 'acquire' : 'extend';
      return new Promise((resolve, reject) => {
        ask(voter, steps.take(kind, id, nonce, ttlMs), (vote) => {
          if (vote === 'missing' || vote === 'late') reject(vote === 'late' ? LATE_VOTE : MISSING_VOTE);
          // To the package, 1 means agreement and 0 means "held by another nonce".
          else resolve(vote === 'for' ? 1 : 0);
        });
      });
    },
  };
  return client as unknown as Client;
}

function heldVotes(votes: ExecutionStats): number {
  let held = 0;
  for (const error of votes.votesAgainst.values()) if (error instanceof ResourceLockedError) held += 1;
  return held;
}

function lateVotes(votes: ExecutionStats): number {
  let late = 0;
  for (const error of votes.votesAgainst.values()) if (error instanceof MissingVote && error.late) late += 1;
  return late;
}
