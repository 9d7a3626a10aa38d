import type { Chance, Clock } from '../coordination/ports/clock.js';
import type { Amnesia, Witness } from './amnesia.js';
import type { GroupCommit, Lane, Part } from './group-commit.js';
import type { LockNode, LockStep, Memory, NodeFacts, TakeStep } from './lock-node.js';
import type { NodeState, QuorumObserver, Vote } from './quorum-observer.js';
import type { SeparateRuns } from './separate-runs.js';
import { Silence } from './silence.js';
import { answerAt, type TakeAnswer } from './take-answer.js';
import { type Outcome, within } from './within.js';

export interface VoterParts {
  readonly node: LockNode;
  readonly amnesia: Amnesia;
  /** Shared by all nodes. */
  readonly runs: SeparateRuns;
  /** Shared by all nodes: what this turn asks of them. */
  readonly commit: GroupCommit<TakeAnswer>;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly observer: QuorumObserver;
  readonly timeoutMs: number;
  /** S: a node that owes a reply and is silent for twice as long counts as gone, not as late. */
  readonly silenceMs: number;
  readonly leaseMsMax: number;
  /** The state has just changed. */
  changed(): void;
}

const REASONS_CHANGE: ReadonlySet<NodeState> = new Set<NodeState>(['connecting', 'refusing']);

/** How often a voting node is checked. It votes for at most this long after its policy changed. */
const CHECK_MS = 1_000;
/** How often a node that does not vote is checked, because another replica may have marked it. */
const IMPATIENT_CHECK_MS = 100;
/** A node that has refused nothing for this long is voting again. Without calls, there is no other sign. */
const REFUSAL_MS = 10_000;

/**
 * One lock node, with everything that can stop it from voting: no connection, no marker, an evicting policy, silence. A
 * request always ends in a vote within the timeout, and at once if the node may not vote or is silent.
 */
export class Voter implements Witness, Lane<TakeAnswer> {
  readonly name: string;
  #state: NodeState = 'connecting';
  #why = '';
  /** When it last refused something. */
  #refusedMs = Number.NEGATIVE_INFINITY;
  #memory: Memory | undefined;
  /** The run whose marker was seen on this connection. */
  #run: string | undefined;
  #prepared = false;
  /** Numbers the connections, 0 without one, so that replies of an earlier one are dropped. */
  #connection = 0;
  #connections = 0;
  /** Counts replies of any kind. */
  #heard = 0;
  #wake = () => {};
  readonly #silence: Silence;
  /** Its number in the group commit. */
  readonly #lane: number;

  constructor(private readonly parts: VoterParts) {
    this.name = parts.node.name;
    this.#silence = new Silence(parts.clock, 2 * parts.silenceMs);
    this.#lane = parts.commit.join(this);
  }

  get state(): NodeState {
    return this.#state;
  }

  get memory(): Memory | undefined {
    return this.#memory;
  }

  start(): void {
    this.parts.node.start({
      connected: () => {
        this.#connections += 1;
        this.#connection = this.#connections;
        this.#prepared = false;
        void this.#attend(this.#connection);
      },
      disconnected: (why, silent) => {
        this.#disconnect(why);
        if (silent === true) this.#silence.begin(this.parts.silenceMs);
        else this.#silence.end();
      },
    });
  }

  async close(): Promise<void> {
    this.#disconnect('closed');
    this.#silence.end();
    await this.parts.node.close();
  }

  /**
   * Calls `told` once with the vote. Does not ask a node that may not vote. A late vote is missing, but its node may
   * only be slow.
   */
  ask(step: TakeStep, told: (vote: Vote | 'late') => void): void {
    const { clock, observer, commit } = this.parts;
    if (!this.#mayVote || this.#run === undefined) {
      observer.voted(this.name, 'missing', 0, this.#state);
      told(this.#silence.mayEnd ? 'late' : 'missing');
      return;
    }
    const askedMs = clock.nowMs();
    commit.take(this.#lane, step, (answer) => {
      const [vote, why] = this.#voteOf(answer);
      observer.voted(this.name, vote, clock.nowMs() - askedMs, why);
      const isTimedOut = typeof answer !== 'string' && answer.kind === 'timed_out';
      told(isTimedOut && !this.#silence.isGone ? 'late' : vote);
    });
  }

  /** Sent to every connected node, even if it may not vote. Calls `done` when the caller need not wait any longer. */
  release(step: LockStep, done: () => void): void {
    const isSilent = this.#state === 'suspect';
    // A silent node gets it too, after the acquire that it may still apply. The caller does not wait for it.
    if (this.#connection !== 0) this.parts.commit.free(this.#lane, step, isSilent ? () => {} : done);
    if (this.#connection === 0 || isSilent) done();
  }

  take({ steps, settles, sinceMs }: Part<TakeStep, TakeAnswer>): void {
    const run = this.#run;
    // It may have lost its connection since it was asked, in the same turn.
    if (!this.#mayVote || run === undefined) {
      for (const settle of settles) settle({ kind: 'failed', why: this.#state });
      return;
    }
    void this.#call(() => this.parts.node.take(run, steps), sinceMs).then((outcome) => {
      for (const [at, settle] of settles.entries()) settle(answerAt(outcome, at));
    });
  }

  free({ steps, settles, sinceMs }: Part<LockStep, void>): void {
    void this.#call(() => this.parts.node.free(steps), sinceMs).then(() => {
      for (const settle of settles) settle();
    });
  }

  async recall(): Promise<Memory | undefined> {
    const { node, leaseMsMax } = this.parts;
    const facts = await this.#call(() => node.inspect());
    if (facts.kind !== 'done' || facts.value.evictionPolicy !== undefined) return undefined;
    const memory = await this.#call(() => node.recall(facts.value.run, leaseMsMax));
    return memory.kind === 'done' ? memory.value : undefined;
  }

  async markFirst(since: string): Promise<void> {
    const { node } = this.parts;
    const facts = await this.#call(() => node.inspect());
    if (facts.kind !== 'done' || facts.value.evictionPolicy !== undefined) return;
    await this.#call(() => node.mark(facts.value.run, since, true));
    this.#wake();
  }

  get #mayVote(): boolean {
    return this.#state === 'voting' || this.#state === 'refusing';
  }

  #voteOf(answer: TakeAnswer): [Vote, why?: string] {
    if (typeof answer !== 'string') {
      if (answer.kind === 'refused' && this.#mayVote) this.#refuse(answer.why);
      return ['missing', answer.why];
    }
    if (this.#state === 'refusing' && (answer === 'done' || answer === 'held')) {
      this.#become('voting', 'it votes again');
    }
    switch (answer) {
      case 'done':
        return ['for'];
      case 'held':
        return ['held'];
      case 'unmarked':
        return this.#stopVoting('waiting', 'its marker is missing');
      case 'unprepared':
        return this.#stopVoting('connecting', 'its scripts are missing');
    }
  }

  #refuse(why: string): void {
    this.#refusedMs = this.parts.clock.nowMs();
    this.#become('refusing', why);
  }

  /** The node answered why it may not vote. Checks and prepares it again at once. */
  #stopVoting(state: NodeState, why: string): [Vote, string] {
    // Many requests may return the same answer, some of them after their connection has ended.
    if (this.#mayVote) {
      this.#run = undefined;
      this.#prepared = false;
      this.#become(state, why);
      this.#wake();
    }
    return ['missing', why];
  }

  /** Checks the node repeatedly during this connection. Never rejects. */
  async #attend(connection: number): Promise<void> {
    while (this.#connection === connection) {
      const pauseMs = await this.#check(connection);
      if (this.#connection === connection) await this.#sleep(pauseMs);
    }
  }

  /** Decides from the node's report whether it may vote. Returns the time until the next check. */
  async #check(connection: number): Promise<number> {
    const { node, amnesia, leaseMsMax, runs } = this.parts;
    // The node gets no request until it answers a ping, and one ping may be lost.
    if (this.#state === 'suspect') {
      this.#ping(connection);
      return CHECK_MS;
    }
    if (!this.#prepared) {
      const prepared = await this.#call(() => node.prepare());
      if (this.#connection !== connection) return 0;
      if (prepared.kind !== 'done') return this.#unseen(prepared);
      this.#prepared = true;
    }
    const facts = await this.#call(() => node.inspect());
    if (this.#connection !== connection) return 0;
    if (facts.kind !== 'done') return this.#unseen(facts);
    if (facts.value.evictionPolicy !== undefined) return this.#keepFromVoting(facts.value);
    const { run } = facts.value;
    const same = runs.claim(run, this.name);
    if (same !== undefined) return this.#yieldTo(same);
    const memory = await this.#call(() => node.recall(run, leaseMsMax));
    if (this.#connection !== connection) return 0;
    if (memory.kind !== 'done') {
      this.#prepared = false;
      return this.#unseen(memory);
    }
    this.#memory = memory.value;
    amnesia.noticed();
    if (memory.value.kind === 'marked') {
      this.#run = run;
      // Reading works on a node that refuses to write.
      const refuses = this.#state === 'refusing' && this.parts.clock.nowMs() - this.#refusedMs < REFUSAL_MS;
      if (!refuses) this.#become('voting', 'its marker is valid');
      return CHECK_MS * (0.75 + this.parts.chance.fraction() / 2);
    }
    const { since, leftMs } = memory.value;
    this.#run = undefined;
    if (leftMs > 0 || this.#state !== 'refusing') {
      this.#become('waiting', `it may have forgotten leases; votes again in ${Math.ceil(leftMs)} ms`);
    }
    if (leftMs > 0) return Math.min(IMPATIENT_CHECK_MS, leftMs + 1);
    // The store must know first. If all nodes were lost later, a first start would forget their leases.
    await amnesia.claim();
    const marked = await this.#call(() => node.mark(run, since, false));
    if (marked.kind === 'refused' && this.#connection === connection) this.#refuse(marked.why);
    return marked.kind === 'done' && marked.value ? 0 : IMPATIENT_CHECK_MS;
  }

  /** It did not report. A voting node continues, because each vote checks its marker anyway. */
  #unseen({ kind, why }: Exclude<Outcome<unknown>, { kind: 'done' }>): number {
    const votes = this.#state === 'voting' || this.#state === 'suspect';
    if (kind === 'refused' && !votes) this.#refuse(why);
    else if (this.#state === 'connecting') this.#become('connecting', why);
    return IMPATIENT_CHECK_MS;
  }

  /** The marker and the locks of this Redis belong to the other node, so nothing is written here. */
  #yieldTo(same: string): number {
    this.#run = undefined;
    this.#memory = undefined;
    this.#become('duplicate', `it is the same Redis as ${same}; each lock node must be a different Redis`);
    return CHECK_MS;
  }

  /** It may evict locks meanwhile, so it must wait after its policy is fixed. */
  async #keepFromVoting(facts: NodeFacts): Promise<number> {
    this.#run = undefined;
    this.#memory = undefined;
    this.#become('evicting', `its maxmemory-policy is ${facts.evictionPolicy}; it must be noeviction`);
    await this.#call(() => this.parts.node.unmark());
    return CHECK_MS;
  }

  #call<T>(step: () => Promise<T>, sinceMs = 0): Promise<Outcome<T>> {
    const heard = this.#heard;
    const connection = this.#connection;
    const told = {
      answered: () => this.#hear(connection),
      timedOut: (why: string) => {
        // Other replies since the request mean that it is slow, not silent.
        if (this.#heard === heard && this.#connection === connection) this.#suspect(connection, why);
      },
    };
    return within(this.parts.clock, this.parts.timeoutMs, step, told, sinceMs);
  }

  #suspect(connection: number, why: string): void {
    if (this.#state !== 'voting') return;
    this.#become('suspect', why);
    this.#silence.begin(0);
    this.#ping(connection);
  }

  #ping(connection: number): void {
    const answered = () => this.#hear(connection);
    // An error is an answer too. `disconnected` reports a broken connection.
    this.parts.node.ping().then(answered, answered);
  }

  /** Any answer of a silent node ends its silence, even to a release. */
  #hear(connection: number): void {
    this.#heard += 1;
    // A connection that broke rejects its open requests: the node itself has not answered.
    if (this.#connection !== connection) return;
    this.#silence.end();
    if (this.#state !== 'suspect') return;
    this.#become('voting', 'it answers again');
    this.#wake();
  }

  #disconnect(why: string): void {
    this.#connection = 0;
    this.parts.runs.leave(this.name);
    this.#run = undefined;
    this.#memory = undefined;
    this.#become('connecting', why);
    this.#wake();
  }

  #become(to: NodeState, why: string): void {
    const from = this.#state;
    // The reason may change, and the log must show the latest one.
    if (from === to && (why === this.#why || !REASONS_CHANGE.has(to))) return;
    this.#state = to;
    this.#why = why;
    this.parts.observer.stateChanged(this.name, from, to, why);
    this.parts.changed();
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.#wake = () => {};
        cancel();
        resolve();
      };
      const cancel = this.parts.clock.after(ms, wake);
      this.#wake = wake;
    });
  }
}
