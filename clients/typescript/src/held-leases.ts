/** How many losses are remembered that came before the watch. */
const UNWATCHED_MAX = 1_000;

/** The leases that this process holds, so that a rebuild learns at once that its lease is lost. */
export class HeldLeases {
  readonly #onLost = new Map<string, () => void>();
  /** A lease and its loss may come in one message, before its rebuild can watch it. */
  readonly #unwatched = new Set<string>();

  /** Calls `lost` once if the service reports the loss, or has reported it. The returned function ends the watch. */
  watch(token: string, lost: () => void): () => void {
    if (this.#unwatched.delete(token)) {
      queueMicrotask(lost);
      return () => {};
    }
    this.#onLost.set(token, lost);
    return () => this.#onLost.delete(token);
  }

  lost(token: string): void {
    const lost = this.#onLost.get(token);
    if (lost !== undefined) {
      this.#onLost.delete(token);
      lost();
      return;
    }
    this.#unwatched.add(token);
    for (const oldest of this.#unwatched) {
      if (this.#unwatched.size <= UNWATCHED_MAX) break;
      this.#unwatched.delete(oldest);
    }
  }
}
