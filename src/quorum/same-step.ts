import type { LockStep, TakeStep } from './lock-node.js';

/**
 * The package asks each node in turn, with equal arguments. Returns the same object for these, so that all nodes share
 * the packed form.
 */
export class SameStep {
  #take: TakeStep | undefined;
  #free: LockStep | undefined;

  take(kind: TakeStep['kind'], id: string, nonce: string, ttlMs: number): TakeStep {
    const last = this.#take;
    if (last?.nonce === nonce && last.id === id && last.kind === kind && last.ttlMs === ttlMs) return last;
    const step = { kind, id, nonce, ttlMs };
    this.#take = step;
    return step;
  }

  free(id: string, nonce: string): LockStep {
    const last = this.#free;
    if (last?.nonce === nonce && last.id === id) return last;
    const step = { id, nonce };
    this.#free = step;
    return step;
  }
}
