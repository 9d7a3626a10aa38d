/** How often each step of the protocol was taken under each fault. */
export class Coverage {
  readonly counts = new Map<string, Map<string, number>>();

  met(fault: string, step: string): void {
    const steps = this.counts.get(fault) ?? new Map<string, number>();
    steps.set(step, (steps.get(step) ?? 0) + 1);
    this.counts.set(fault, steps);
  }

  add(other: Iterable<readonly [string, Iterable<readonly [string, number]>]>): void {
    for (const [fault, steps] of other) {
      const own = this.counts.get(fault) ?? new Map<string, number>();
      for (const [step, count] of steps) own.set(step, (own.get(step) ?? 0) + count);
      this.counts.set(fault, own);
    }
  }

  /** The pairs that were met fewer than `min` times. */
  below(min: number, faults: readonly string[], steps: readonly string[]): string[] {
    return faults.flatMap((fault) =>
      steps
        .map((step) => ({ step, count: this.counts.get(fault)?.get(step) ?? 0 }))
        .filter(({ count }) => count < min)
        .map(({ step, count }) => `${fault} × ${step}: ${count}`),
    );
  }

  /** The counts as plain arrays, which JSON can carry from one process to another. */
  entries(): [string, [string, number][]][] {
    return [...this.counts].map(([fault, steps]) => [fault, [...steps]]);
  }
}

/** The steps of the protocol, at the store and at the lock nodes. */
export const STEPS = [
  'read',
  'arm',
  'adopt',
  'publish',
  'release',
  'extend',
  'invalidate',
  'invalidate tags',
  'vote',
  'vote again',
  'unlock',
  'wake',
] as const;
