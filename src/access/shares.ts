/**
 * A bounded amount that many peers take from. A peer may hold as much as is still free. So one peer gets at most half,
 * two get a third each, and a newcomer always finds something.
 */
export class Shares {
  #taken = 0;
  readonly #byPeer = new Map<string, number>();

  constructor(readonly max: number) {}

  get taken(): number {
    return this.#taken;
  }

  /** False, and nothing is taken, if one of the peers would hold more than is left. An empty name is ignored. */
  take(...peers: readonly string[]): boolean {
    const left = this.max - this.#taken - 1;
    if (left < 0) return false;
    // The first one of all may always come.
    if (this.#taken > 0 && peers.some((peer) => peer !== '' && this.of(peer) + 1 > left)) return false;
    this.#taken += 1;
    for (const peer of peers) if (peer !== '') this.#byPeer.set(peer, this.of(peer) + 1);
    return true;
  }

  give(...peers: readonly string[]): void {
    this.#taken -= 1;
    for (const peer of peers) {
      const left = this.of(peer) - 1;
      if (left > 0) this.#byPeer.set(peer, left);
      else this.#byPeer.delete(peer);
    }
  }

  of(peer: string): number {
    return this.#byPeer.get(peer) ?? 0;
  }
}
