import { randomUUID } from 'node:crypto';

/** Randomness as a port, so that a simulation can replay every draw. */
export interface Chance {
  /** Uniform in [0, 1). */
  fraction(): number;
  /** Never the same twice. */
  requestId(): string;
}

export const SYSTEM_CHANCE: Chance = { fraction: Math.random, requestId: randomUUID };
