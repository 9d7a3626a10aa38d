import type { Trace } from './trace.js';

/** The part of a call's deadline that is kept for sending the answer back, but never more than a tenth of it. */
const DEADLINE_MARGIN_MS = 50;

/** The caller, how long it can wait, and whether it is still there. One for each call. */
export class Call {
  #cancelled = false;
  #onCancel: (() => void) | undefined;

  constructor(
    /** The authenticated identity; empty while authentication is off. */
    readonly identity: string = '',
    /** The call's deadline, in milliseconds from its arrival; Infinity for none. */
    readonly deadlineMs: number = Number.POSITIVE_INFINITY,
    /** The W3C traceparent of the caller; empty if there is none. */
    readonly traceparent: string = '',
    /** Absent unless the call is traced. */
    readonly trace?: Trace,
  ) {}

  /** By when the answer must be on its way, in milliseconds from the call's arrival. Infinity for no deadline. */
  get answerInMs(): number {
    if (!Number.isFinite(this.deadlineMs)) return Number.POSITIVE_INFINITY;
    return Math.max(0, this.deadlineMs - Math.min(DEADLINE_MARGIN_MS, this.deadlineMs / 10));
  }

  /** The caller no longer waits for the answer. */
  get cancelled(): boolean {
    return this.#cancelled;
  }

  /** The transport says that the caller has gone. */
  cancel(): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    this.#onCancel?.();
  }

  /** One listener, called at once when the caller goes. The later registration replaces the earlier. */
  onCancel(listener: (() => void) | undefined): void {
    this.#onCancel = listener;
    if (this.#cancelled) listener?.();
  }
}
