import { inPatience, type Patience } from '../degradation/patience.js';
import { rethrowUnlessUnavailable, unavailable } from '../degradation/unavailable.js';
import type { ValueStore } from '../ports/value-store.js';
import type { Key } from '../words/key.js';
import type { Token } from '../words/token.js';

export interface StoreParts extends Patience {
  readonly store: Pick<ValueStore, 'explain'>;
}

/** Whether the store knows this lease as armed. Rejects as `unavailable` if it does not answer. */
export async function isArmed(parts: StoreParts, { id, namespace }: Key, { nonce }: Token): Promise<boolean> {
  try {
    const { record } = await inPatience(parts, namespace, parts.store.explain(id));
    return record.lease?.nonce === nonce;
  } catch (error) {
    rethrowUnlessUnavailable(error);
    throw unavailable(
      'the value store does not answer, and only the replica that granted the lease knows it; extending again is safe',
    );
  }
}
