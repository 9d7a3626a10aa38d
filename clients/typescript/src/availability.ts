/** Whether the service can be reached, according to the last call. Each change is one of Node's warnings. */
export class Availability {
  #isLost = false;

  constructor(
    private readonly target: string,
    private readonly back: () => void,
    private readonly warn: Warn = warning,
  ) {}

  unavailable(cause: Error): void {
    if (this.#isLost) return;
    this.#isLost = true;
    this.warn(
      'DIBS_UNREACHABLE',
      `Dibs cannot be reached at ${this.target}: ${cause.message}. ` +
        'Until it is back, each process rebuilds for itself, or fails if `onUnavailable` says so.',
    );
  }

  answered(): void {
    if (!this.#isLost) return;
    this.#isLost = false;
    this.back();
    this.warn('DIBS_REACHABLE', `Dibs can be reached again at ${this.target}.`);
  }
}

/** Reports to the operator of the process. */
export type Warn = (code: string, text: string) => void;

function warning(code: string, text: string): void {
  process.emitWarning(text, { type: 'DibsWarning', code });
}
