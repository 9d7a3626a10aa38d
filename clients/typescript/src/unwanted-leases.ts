import type * as wire from './generated/dibs/v1/coordinator.js';
import type { Transport } from './transport.js';

const RELEASE_MS = 5_000;

/** Releases the lease of an answer that its caller does not take, so that other callers need not wait for its end. */
export function releaseUnwanted(
  transport: Pick<Transport, 'release'>,
  namespace: string,
): (answer: wire.GetOrLockManyResponse) => void {
  return ({ key, result }) => {
    const outcome = result?.$case === 'response' ? result.value.outcome : undefined;
    if (outcome?.$case !== 'lease') return;
    const { token } = outcome.value;
    // Without an answer, it ends with its session or by its time.
    transport
      .release({ namespace, key, token, failure: undefined }, { deadlineMs: RELEASE_MS })
      .catch(() => {});
  };
}
