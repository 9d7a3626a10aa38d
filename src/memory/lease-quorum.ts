import { driftMs } from '../coordination/leasing/drift.js';
import type { Clock } from '../coordination/ports/clock.js';
import type { Ballot, LeaseQuorum, LockGroup } from '../coordination/ports/lease-quorum.js';
import { Sweep } from './sweep.js';

interface Lock {
  readonly nonce: string;
  readonly untilMs: number;
}

const GROUP: LockGroup = { name: 'memory', label: '' };

/**
 * The quorum for one replica: one map in its memory, which always answers. It subtracts the same drift from a lease as
 * the real one, so code that is written against it works there too.
 */
export class MemoryLeaseQuorum implements LeaseQuorum {
  readonly #locks = new Map<string, Lock>();
  readonly #sweep = new Sweep(this.#locks, (lock, nowMs) => (lock.untilMs <= nowMs ? undefined : lock));

  constructor(private readonly parts: { readonly clock: Clock }) {}

  /** Locks held now, including expired ones. */
  get size(): number {
    return this.#locks.size;
  }

  groupOf(): LockGroup {
    return GROUP;
  }

  async acquire(id: string, nonce: string, leaseMs: number): Promise<Ballot> {
    const nowMs = this.parts.clock.nowMs();
    if (this.#holder(id, nowMs) !== undefined) return { kind: 'held' };
    return this.#lock(id, nonce, leaseMs, nowMs);
  }

  async extend(id: string, nonce: string, leaseMs: number): Promise<Ballot> {
    const nowMs = this.parts.clock.nowMs();
    const holder = this.#holder(id, nowMs);
    if (holder !== undefined && holder !== nonce) return { kind: 'held' };
    return this.#lock(id, nonce, leaseMs, nowMs);
  }

  async release(id: string, nonce: string): Promise<void> {
    if (this.#locks.get(id)?.nonce === nonce) this.#locks.delete(id);
  }

  #holder(id: string, nowMs: number): string | undefined {
    const lock = this.#locks.get(id);
    return lock !== undefined && lock.untilMs > nowMs ? lock.nonce : undefined;
  }

  /** Never shortens a lock that the nonce holds already; its validity counts from `leaseMs` alone, as asked for. */
  #lock(id: string, nonce: string, leaseMs: number, nowMs: number): Ballot {
    const validUntilMs = nowMs + leaseMs - driftMs(leaseMs);
    if (validUntilMs <= nowMs) return { kind: 'undecided' };
    const before = this.#locks.get(id);
    const untilMs = Math.max(nowMs + leaseMs, before?.nonce === nonce ? before.untilMs : 0);
    this.#locks.set(id, { nonce, untilMs });
    this.#sweep.some(nowMs);
    return { kind: 'granted', nonce, validUntilMs };
  }
}
