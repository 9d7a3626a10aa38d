import type { Ballot, LeaseQuorum, LockGroup } from '../../src/coordination/ports/lease-quorum.js';
import { type Gate, Gates } from './gates.js';

export type QuorumStep = keyof LeaseQuorum;

/** The chaos twin of a quorum: it is lost, comes to no decision, and is held up before or after a step. */
export class ChaosLeaseQuorum implements LeaseQuorum {
  /** Every ballot says so, and nothing is locked or released. */
  lost = false;
  /** Those that are missing may only be slow. */
  late = false;
  /** As many of the next acquisitions or extensions come to no decision. */
  undecided = 0;
  readonly asked: QuorumStep[] = [];
  /** The nonces that were asked to go. */
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
