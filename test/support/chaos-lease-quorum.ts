import type { Ballot, LeaseQuorum, LockGroup } from '../../src/coordination/ports/lease-quorum.js';
import { type Gate, Gates } from './gates.js';

export type QuorumStep = keyof LeaseQuorum;

/** The chaos twin of a quorum. It can be lost, stay undecided, or hold a step before or after it is taken. */
export class ChaosLeaseQuorum implements LeaseQuorum {
  /** While true, every ballot is unavailable, and nothing is locked or released. */
  lost = false;
  /** Whether the missing lock nodes may only be slow. */
  late = false;
  /** How many of the next acquires or extends stay undecided. */
  undecided = 0;
  readonly asked: QuorumStep[] = [];
  /** The nonces of all release requests. */
  readonly released: string[] = [];
  readonly #before = new Gates<QuorumStep>();
  readonly #after = new Gates<QuorumStep>();

  constructor(private readonly real: LeaseQuorum) {}

  holdBefore(step: QuorumStep): Gate {
    return this.#before.close(step);
  }

  holdAfter(step: QuorumStep): Gate {
    return this.#after.close(step);
  }

  countOf(step: QuorumStep): number {
    return this.asked.filter((asked) => asked === step).length;
  }

  groupOf(id: string): LockGroup {
    return this.real.groupOf(id);
  }

  acquire(id: string, nonce: string, leaseMs: number): Promise<Ballot> {
    return this.#vote('acquire', () => this.real.acquire(id, nonce, leaseMs));
  }

  extend(id: string, nonce: string, leaseMs: number): Promise<Ballot> {
    return this.#vote('extend', () => this.real.extend(id, nonce, leaseMs));
  }

  async release(id: string, nonce: string): Promise<void> {
    this.asked.push('release');
    this.released.push(nonce);
    await this.#before.pass('release');
    if (!this.lost) await this.real.release(id, nonce);
    await this.#after.pass('release');
  }

  async #vote(step: 'acquire' | 'extend', real: () => Promise<Ballot>): Promise<Ballot> {
    this.asked.push(step);
    await this.#before.pass(step);
    if (this.lost) return { kind: 'unavailable', late: this.late };
    if (this.undecided > 0) {
      this.undecided -= 1;
      return { kind: 'undecided' };
    }
    const ballot = await real();
    await this.#after.pass(step);
    return ballot;
  }
}
