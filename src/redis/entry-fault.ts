import type { ClusterAddress, SentinelAddress } from '../config/store-url.js';
import { entryClient } from './client.js';

/** ioredis reports that no node of a cluster or no sentinel accepted the connection, but not why. */
export function hidesItsReason(error: Error): boolean {
  const { lastNodeError } = error as { lastNodeError?: unknown };
  const said = lastNodeError instanceof Error ? lastNodeError.message : error.message;
  return /Connection is closed/.test(said);
}

/**
 * Connects once to a node of the cluster or to a sentinel, and returns what went wrong. Undefined if it answers. Each
 * `attempt` takes the next one.
 */
export async function entryFault(
  address: ClusterAddress | SentinelAddress,
  attempt: number,
  ca: string | undefined,
): Promise<Error | undefined> {
  const client = entryClient(address, attempt, 'dibs-probe', { ca, enableReadyCheck: false });
  let fault: Error | undefined;
  // The first fault is the reason: what follows only says that the connection is closed.
  client.on('error', (error: Error) => {
    fault ??= error;
  });
  await client.connect().catch((error: Error) => {
    fault ??= error;
  });
  client.disconnect();
  return fault;
}
