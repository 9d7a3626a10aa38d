import { RebuildFailedError } from './errors.js';
import { askedBackoffMs, failureMessage } from './failure-message.js';

interface Failure {
  readonly message: string;
  readonly untilMs: number;
}

/** The back-off after a failure that sets none, as in a service without a policy. */
const BACKOFF_MS = 1_000;

/** The failed rebuilds of the double, by key, each until its back-off ends. */
export class MemoryFailures {
  readonly #failures = new Map<string, Failure>();

  constructor(private readonly nowMs: () => number) {}

  note(id: string, error: unknown): void {
    const untilMs = this.nowMs() + (askedBackoffMs(error) ?? BACKOFF_MS);
    this.#failures.set(id, { message: failureMessage(error), untilMs });
  }

  /** The failure as other callers get it; undefined if no back-off runs. */
  of(id: string): RebuildFailedError | undefined {
    const failure = this.#failures.get(id);
    const leftMs = (failure?.untilMs ?? 0) - this.nowMs();
    if (failure === undefined || leftMs <= 0) return undefined;
    return new RebuildFailedError(failure.message, leftMs);
  }

  end(isOver: (id: string) => boolean): void {
    for (const id of this.#failures.keys()) if (isOver(id)) this.#failures.delete(id);
  }
}
