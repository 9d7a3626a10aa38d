import { rethrowUnlessUnavailable } from '../degradation/unavailable.js';
import type { ValueStore } from '../ports/value-store.js';
import type { Policy } from '../words/policy.js';
import type { ArmedLease } from '../words/record.js';
import type { HeldLease, HeldLeases } from './held-leases.js';

/** The store did not answer: as long as a connection takes to come back. */
const ASK_AGAIN_MS = 1_000;

export interface LeaseEndsParts {
  readonly store: Pick<ValueStore, 'explain'>;
  readonly limits: { readonly leaseMsMax: number };
  policyOf(namespace: string): Pick<Policy, 'leaseHoldMsMax'>;
}

/**
 * Finds out what became of a lease when it has expired as far as this replica knows. It may have been extended at
 * another replica, or taken over by another session; and while no other caller was given the lease, its holder can still
 * publish. So only the record says that it is lost. The record is asked until no extension can lengthen the lease any more.
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

  #isStillArmed(lease: HeldLease, armed: Pick<ArmedLease, 'owner' | 'expiresInMs' | 'ageMs'>): void {
    const { held } = this;
    const { nonce, key } = lease;
    const { limits, policyOf } = this.parts;
    // Another session has it, perhaps at another replica, which watches its end from now on.
    if (armed.owner !== lease.owner) held.remove(nonce);
    else if (armed.expiresInMs > 0) held.lastsFor(nonce, armed.expiresInMs);
    else {
      held.expired(nonce);
      const holdLeftMs = policyOf(key.namespace).leaseHoldMsMax - armed.ageMs;
      if (!held.isWatched(nonce)) held.end(nonce, 'expired');
      else if (holdLeftMs > 0) held.askAgainIn(nonce, Math.min(limits.leaseMsMax, holdLeftMs));
      // Its record may stay for as long as a value does. The holder is not told: a publish of it may still be stored.
      else held.remove(nonce);
    }
  }
}
