import { ignoreIfRefused } from '../degradation/unavailable.js';
import { StoreUnavailable, type ValueStore } from '../ports/value-store.js';
import type { Policy } from '../words/policy.js';
import type { ArmedLease } from '../words/record.js';
import type { HeldLease, HeldLeases } from './held-leases.js';

/** If the store did not answer: about as long as a reconnect takes. */
const ASK_AGAIN_MS = 1_000;

export interface LeaseEndsParts {
  readonly store: Pick<ValueStore, 'explain'>;
  readonly limits: { readonly leaseMsMax: number };
  policyOf(namespace: string): Pick<Policy, 'leaseHoldMsMax'>;
}

/**
 * Finds out how a lease ended that has expired as far as this replica knows. It may have been extended on another
 * replica, or taken over by another session. Its holder can still publish until another caller gets the lease. So only
 * the record shows that it is lost. The record is read until no extension can lengthen the lease any more.
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
      // It was extended here, or ended, during the read.
      if (held.get(nonce) !== lease) return;
      const armed = record.lease;
      if (armed?.nonce === nonce) this.#isStillArmed(lease, armed);
      else {
        const ended = past.find(({ fence }) => fence === lease.fence);
        const end = record.voidedNonce === nonce ? 'invalidated' : (ended?.end ?? 'expired');
        held.end(nonce, end, ended?.endedAgoMs);
      }
    } catch (error) {
      ignoreIfRefused(error);
      if (error instanceof StoreUnavailable) held.askAgainIn(nonce, ASK_AGAIN_MS);
      // Something else has the name of the key, so that nothing is armed there.
      else held.end(nonce, 'expired');
    }
  }

  #isStillArmed(lease: HeldLease, armed: Pick<ArmedLease, 'owner' | 'expiresInMs' | 'ageMs'>): void {
    const { held } = this;
    const { nonce, key } = lease;
    const { limits, policyOf } = this.parts;
    // Another session has it, perhaps on another replica, which watches its end from now on.
    if (armed.owner !== lease.owner) held.remove(nonce);
    else if (armed.expiresInMs > 0) held.lastsFor(nonce, armed.expiresInMs);
    else {
      held.expired(nonce);
      const holdLeftMs = policyOf(key.namespace).leaseHoldMsMax - armed.ageMs;
      if (!held.isWatched(nonce)) held.end(nonce, 'expired');
      else if (holdLeftMs > 0) held.askAgainIn(nonce, Math.min(limits.leaseMsMax, holdLeftMs));
      // Its record may stay for as long as a value does. The holder is not notified, because its publish may still be
      // stored.
      else held.remove(nonce);
    }
  }
}
