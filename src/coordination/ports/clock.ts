/** Time. Production reads the machine's monotonic clock. A simulation has its own. */
export interface Clock {
  /** Milliseconds, with fractions, on a clock that never jumps. Only differences have a meaning. */
  nowMs(): number;
  /** Calls `fire` once, `delayMs` from now. The returned function cancels it; cancelling twice is harmless. */
  after(delayMs: number, fire: () => void): () => void;
  /** Resolves when other work that is due has had its turn, so that long work leaves the event loop free. */
  turn(): Promise<void>;
}

/** Randomness, as a port, so that a simulation can replay every draw. */
export interface Chance {
  /** Uniform in [0, 1). */
  fraction(): number;
  /** 128 unguessable bits as 22 characters of `[A-Za-z0-9_-]`, never the same twice. */
  nonce(): string;
}
