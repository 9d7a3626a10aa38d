import { undefinedIfUnavailable } from '../degradation/unavailable.js';
import type { ValueStore } from '../ports/value-store.js';
import type { RecordFacts } from '../words/record.js';
import type { Token } from '../words/token.js';
import type { Span } from '../words/trace.js';
import { forWhoIsHere, type Grant, labelsOf } from './attempt.js';
import type { LeaseLifecycle } from './lease-lifecycle.js';

export interface HandOnParts {
  readonly store: Pick<ValueStore, 'adopt'>;
  readonly lifecycle: Pick<LeaseLifecycle, 'endArmed'>;
}

/** An armed lease and its caller. */
export interface Armed {
  readonly grant: Grant;
  readonly token: Token;
  readonly owner: number;
  readonly record: RecordFacts;
  readonly span: Span | undefined;
}

/**
 * The lease for a caller that is still here. If its own caller left while it was armed, the next caller gets it,
 * because giving it back would wake every replica and cost another vote. Undefined if no caller is left; the lease was
 * then given back.
 *
 * The race: the lease is armed, its caller leaves, the same call arrives at another replica and adopts the lease, and
 * then this runs. By then the owner number has changed, so the lease is neither taken from that caller nor ended.
 */
export async function handOn({ store, lifecycle }: HandOnParts, armed: Armed): Promise<Armed | undefined> {
  const { token } = armed;
  const { key } = armed.grant;
  let [here, { owner, record, span }] = [armed.grant, armed];
  while (here.waiter.gone) {
    const next = forWhoIsHere(here);
    span = next?.waiter.call.trace?.begin('lease', { reason: here.reason });
    const handed =
      next &&
      (await store
        .adopt(key.id, token.nonce, { owner, ...labelsOf(next, span) })
        .catch(undefinedIfUnavailable));
    if (next === undefined || handed?.lease === undefined) {
      await lifecycle.endArmed(key, token, { end: 'cancelled', owner });
      return undefined;
    }
    here = next;
    owner = handed.lease.owner;
    record = handed;
  }
  return { grant: here, token, owner, record, span };
}
