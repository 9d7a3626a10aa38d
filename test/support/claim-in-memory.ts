import type { FirstStartClaim } from '../../src/quorum/first-start-claim.js';

/** A store that remembers one claim, and can be unreachable. */
export class ClaimInMemory implements FirstStartClaim {
  claims = 0;
  taken = false;
  reachable = true;

  async claimFirstStart(): Promise<boolean> {
    this.claims += 1;
    if (!this.reachable) throw new Error('the store is out of reach');
    const first = !this.taken;
    this.taken = true;
    return first;
  }
}
