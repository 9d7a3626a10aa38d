/** The leases that this process holds, so that whoever rebuilds under one hears at once that it is lost. */
export class HeldLeases {
  readonly #onLost = new Map<string, () => void>();

  /** `lost` is called once if the service says so; the returned function ends the watch. */
  watch(token: string, lost: () => void): () => void {
    this.#onLost.set(token, lost);
    return () => this.#onLost.delete(token);
  }

  lost(token: string): void {
    const lost = this.#onLost.get(token);
    this.#onLost.delete(token);
    lost?.();
  }
}
