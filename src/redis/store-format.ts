import { StoreUnavailable } from '../coordination/ports/value-store.js';
import type { StoreConnection } from './connection.js';
import { FORMAT_KEY } from './keys.js';

/**
 * What records, wakes and locks of this version look like. A later version that adds fields keeps it, because
 * older replicas ignore them. A version whose records older replicas must not touch raises it, once no such replica is
 * left.
 */
const FORMAT = 1;

/** The store was written by a version that this one must not write beside. */
export class NewerStore extends Error {}

/**
 * Marks a store that has no mark with the format of this version. Then the connection takes calls. Rejects with
 * {@link NewerStore} where another mark says that this version is too old for it, and with StoreUnavailable.
 */
export async function claimStoreFormat(connection: StoreConnection): Promise<void> {
  const read = () => connection.callInAnyFormat((client) => client.get(FORMAT_KEY));
  let found = await read();
  if (found === null) {
    await connection
      .callInAnyFormat((client) => client.set(FORMAT_KEY, `${FORMAT}`, 'NX'))
      .catch((error) => {
        // A full store takes no mark, and still serves; the next start tries again.
        if (!(error instanceof StoreUnavailable)) throw error;
      });
    // Another version may have come in between.
    found = await read();
  }
  checkFormat(found);
  connection.formatIsKnown();
}

/** The format of the store. Changes nothing. Null if no replica has used it yet. Rejects with {@link NewerStore}. */
export async function readStoreFormat(connection: StoreConnection): Promise<string | null> {
  const found = await connection.call((client) => client.get(FORMAT_KEY));
  checkFormat(found);
  return found;
}

function checkFormat(found: string | null): void {
  if (found === null || (/^\d+$/.test(found) && Number(found) <= FORMAT)) return;
  throw new NewerStore(
    `the value store has the format '${found.slice(0, 20)}', and this version knows only ${FORMAT}: run the same version as the other replicas, or give this replica another store (DIBS_STORE_URL)`,
  );
}
