import type { NodeState, Vote } from '../../src/quorum/quorum-observer.js';
import { RedlockQuorum } from '../../src/quorum/redlock-quorum.js';
import { SystemChance } from '../../src/system-chance.js';
import { ClaimInMemory } from './claim-in-memory.js';
import { ManualClock } from './manual-clock.js';
import { SimulatedLockNode } from './simulated-lock-node.js';

/** How long a node may be silent. After twice as long it counts as gone. */
export const SILENCE_MS = 2_000;
export const TIMEOUT_MS = 100;
export const LEASE_MS_MAX = 60_000;

/** A quorum over simulated nodes, with a clock that moves only when a test says so. */
export class SimulatedQuorum {
  readonly clock: ManualClock;
  readonly claim = new ClaimInMemory();
  readonly nodes: readonly SimulatedLockNode[];
  readonly votes: { node: string; vote: Vote; ms: number; why: string | undefined }[] = [];
  readonly changes: { node: string; from: NodeState; to: NodeState; why: string }[] = [];
  readonly quorum: RedlockQuorum;

  constructor(count = 5, leaseMsMax = LEASE_MS_MAX, { clock = new ManualClock(), prefix = 'n' } = {}) {
    this.clock = clock;
    this.nodes = Array.from({ length: count }, (_, at) => new SimulatedLockNode(`${prefix}${at}`, clock));
    this.quorum = new RedlockQuorum({
      nodes: this.nodes,
      claim: this.claim,
      clock: this.clock,
      chance: new SystemChance(),
      observer: {
        voted: (node, vote, ms, why) => this.votes.push({ node, vote, ms, why }),
        stateChanged: (node, from, to, why) => this.changes.push({ node, from, to, why }),
        sharesStore() {},
      },
      timeoutMs: TIMEOUT_MS,
      silenceMs: SILENCE_MS,
      leaseMsMax,
    });
  }

  /** Starts a quorum whose nodes all vote. */
  static async voting(count = 5, leaseMsMax = LEASE_MS_MAX, shared = {}): Promise<SimulatedQuorum> {
    const simulated = new SimulatedQuorum(count, leaseMsMax, shared);
    simulated.quorum.start();
    await simulated.settle();
    return simulated;
  }

  /** Runs everything that needs no time. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Moves the clock in small steps and runs everything that is due in each. */
  async pass(ms: number, stepMs = 10): Promise<void> {
    // The requests of this turn are sent when it ends.
    await this.settle();
    for (let passedMs = 0; passedMs < ms; passedMs += stepMs) {
      this.clock.advance(Math.min(stepMs, ms - passedMs));
      await this.settle();
    }
  }

  node(at: number): SimulatedLockNode {
    const node = this.nodes[at];
    if (node === undefined) throw new Error(`there is no node ${at}`);
    return node;
  }

  holders(id: string): (string | undefined)[] {
    return this.nodes.map((node) => node.holder(id));
  }

  get states(): NodeState[] {
    return [...this.quorum.states().values()];
  }
}
