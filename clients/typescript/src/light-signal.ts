/** What this client's own code needs of an AbortSignal. */
export interface SignalLike {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: 'abort', tell: () => void, options?: { readonly once: boolean }): void;
  removeEventListener(type: 'abort', tell: () => void): void;
}

/**
 * A signal inside of this client. An AbortSignal and its listeners cost as much as the rest of a hit, so one is created
 * only for a rebuild that reads it.
 */
export class LightSignal implements SignalLike {
  #isAborted = false;
  #reason: unknown;
  #controller: AbortController | undefined;
  readonly #told: (() => void)[] = [];

  get aborted(): boolean {
    return this.#isAborted;
  }

  get reason(): unknown {
    return this.#reason;
  }

  /** The same as an AbortSignal, for the code of users. */
  get real(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#isAborted) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /** The first reason counts. */
  abort(reason: unknown): void {
    if (this.#isAborted) return;
    this.#isAborted = true;
    this.#reason = reason;
    for (const tell of this.#told.splice(0)) tell();
    this.#controller?.abort(reason);
  }

  /** Each listener is called once. */
  addEventListener(_type: 'abort', tell: () => void): void {
    if (!this.#isAborted) this.#told.push(tell);
  }

  removeEventListener(_type: 'abort', tell: () => void): void {
    const at = this.#told.indexOf(tell);
    if (at >= 0) this.#told.splice(at, 1);
  }

  throwIfAborted(): void {
    if (this.#isAborted) throw this.#reason;
  }
}
