/** Holds one step, so that a test can act in the middle of it. */
export interface Gate {
  /** Resolves when the step has reached the gate. */
  readonly reached: Promise<void>;
  open(): void;
}

/** Gates by step name. Each holds the next step of that name. */
export class Gates<Step extends string> {
  readonly #closed = new Map<Step, { arrive: () => void; opened: Promise<void> }[]>();

  close(step: Step): Gate {
    let arrive = (): void => {};
    let open = (): void => {};
    const reached = new Promise<void>((resolve) => {
      arrive = resolve;
    });
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    this.#closed.set(step, [...(this.#closed.get(step) ?? []), { arrive, opened }]);
    return { reached, open };
  }

  /** Returns undefined if no gate is closed; otherwise a promise that resolves when the gate opens. */
  atGate(step: Step): Promise<void> | undefined {
    return (this.#closed.get(step)?.length ?? 0) > 0 ? this.pass(step) : undefined;
  }

  /** Resolves at once unless a gate is closed. */
  async pass(step: Step): Promise<void> {
    const gate = this.#closed.get(step)?.shift();
    if (gate === undefined) return;
    gate.arrive();
    await gate.opened;
  }
}
