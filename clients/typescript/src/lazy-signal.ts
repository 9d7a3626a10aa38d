/**
 * A signal that is created when it is first read. Most rebuilds never read theirs, and creating it is much of what a
 * rebuild costs.
 */
export class LazySignal {
  #controller: AbortController | undefined;
  #abortedBy: { readonly reason: unknown } | undefined;

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortedBy !== undefined) this.#controller.abort(this.#abortedBy.reason);
    }
    return this.#controller.signal;
  }

  /** The first reason counts. */
  abort(reason: unknown): void {
    this.#abortedBy ??= { reason };
    this.#controller?.abort(reason);
  }
}
