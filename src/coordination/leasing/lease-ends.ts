import { rethrowUnlessUnavailable } from '../degradation/unavailable.js';
import type { ValueStore } from '../ports/value-store.js';
import type { HeldLease, HeldLeases } from './held-leases.js';

/** The store did not answer: as long as a connection takes to come back. */
const ASK_AGAIN_MS = 1_000;

export interface LeaseEndsParts {
  readonly store: Pick<ValueStore, 'explain'>;
  readonly limits: { readonly leaseMsMax: number };
}

/**
 * Finds out what became of a lease when it has expired as far as this replica knows. It may have been extended at
 * another replica, or taken over by another session; and while no other caller was given the lease, its holder can still
 * publish. So only the record says that it is lost.
 */
export class LeaseEnds {
  constructor(
    private readonly parts: LeaseEndsParts,
    private readonly held: HeldLeases,
  ) {}

  async ask(lease: HeldLease): Promise<void> {
    const { held } = this;
    const { nonce, key } = lease;
    if (lease.kind !== 'armed') {
      held.end(nonce, 'expired');
      return;
    }
    try {
      const { record, past } = await this.parts.store.explain(key.id);
      // Extended here, or ended, while the question was on its way.
      if (held.get(nonce) !== lease) return;
      const armed = record.lease;
      if (armed?.nonce === nonce) this.#isStillArmed(lease, armed);
      else {
        const ended = past.find(({ fence }) => fence === lease.fence);
        const end = record.voidedNonce === nonce ? 'invalidated' : (ended?.end ?? 'expired');
        held.end(nonce, end, ended?.endedAgoMs);
      }
    } catch (error) {
      rethrowUnlessUnavailable(error);
      held.askAgainIn(nonce, ASK_AGAIN_MS);
    }
  }

  #isStillArmed(lease: HeldLease, armed: { readonly owner: number; readonly expiresInMs: number }): void {
    const { held } = this;
    const { nonce } = lease;
    // Another session has it, perhaps at another replica, which watches its end from now on.
    if (armed.owner !== lease.owner) held.remove(nonce);
    else if (armed.expiresInMs > 0) held.lastsFor(nonce, armed.expiresInMs);
    else {
      held.expired(nonce);
      if (held.isWatched(nonce)) held.askAgainIn(nonce, this.parts.limits.leaseMsMax);
      else held.end(nonce, 'expired');
    }
  }
}
