import {
  Degraded,
  type ExplainResponse,
  Freshness,
  type LeaseInfo,
  leaseEndToJSON,
  leaseReasonToJSON,
  type PastLease,
  type ValueInfo,
} from '../grpc/generated/dibs/v1/coordinator.js';
import { printable } from './printable.js';
import { count, duration, size } from './quantities.js';
import { table } from './table.js';

const INDENT = 11;

/** Explains why the rest may look incomplete. */
const DEGRADED: Partial<Record<Degraded, string>> = {
  [Degraded.DEGRADED_QUORUM_LOST]: 'fewer than a majority of the lock nodes answer: the store alone decides',
  [Degraded.DEGRADED_STORE_LOST]: 'the value store does not answer, so its data is not shown',
  [Degraded.DEGRADED_LOCAL]: 'neither lock nodes nor value store answer, so only this replica is shown',
};

/** An explanation for a person, line by line. */
export function explanationText(
  { namespace, key }: { readonly namespace: string; readonly key: string },
  { value, lease, waiters, failed, pastLeases, fence, degraded }: ExplainResponse,
): string {
  const missing = DEGRADED[degraded];
  const lines = [
    ...part('key', [`${printable(key)} in the namespace ${printable(namespace)}`]),
    ...part('degraded', missing === undefined ? [] : [missing]),
    ...part('value', value === undefined ? ['none'] : valueLines(value)),
    ...part('lease', lease === undefined ? ['none'] : leaseLines(lease)),
    ...part('waiters', [`${count(waiters, 'caller')} on the replica that answered`]),
    ...part(
      'back-off',
      failed === undefined
        ? []
        : [
            `for ${duration(failed.retryAfterMs)}, because the last rebuild failed: ${printable(failed.message)}`,
          ],
    ),
    ...part('fence', [fence === 0 ? 'unknown' : `${fence} is the highest so far`]),
    ...part('before', pastLeases.length === 0 ? ['no lease has ended'] : pastLines(pastLeases)),
  ];
  return `${lines.join('\n')}\n`;
}

function part(title: string, [first, ...more]: readonly string[]): string[] {
  if (first === undefined) return [];
  return [title.padEnd(INDENT) + first, ...more.map((line) => ' '.repeat(INDENT) + line)];
}

function valueLines({ absent, freshness, sizeBytes, ageMs, ...rest }: ValueInfo): string[] {
  const { freshForMs, staleForMs, fence, tags } = rest;
  const what = absent ? 'the source has nothing under this key' : size(sizeBytes);
  const stale = `stale, may be served for ${duration(staleForMs)}`;
  const fresh = `fresh for ${duration(freshForMs)}${staleForMs > 0 ? `, then served stale for ${duration(staleForMs)}` : ''}`;
  return [
    `${what}; ${freshness === Freshness.FRESHNESS_FRESH ? fresh : stale}`,
    `published ${duration(ageMs)} ago with fence ${fence}`,
    ...(tags.length === 0 ? [] : [`tags: ${tags.map(printable).join(', ')}`]),
  ];
}

function leaseLines({ holder, ageMs, expiresInMs, fence, reason, traceparent }: LeaseInfo): string[] {
  const left = expiresInMs > 0 ? `ends in ${duration(expiresInMs)} unless extended` : 'expired';
  return [
    `${named(holder)} has held it for ${duration(ageMs)}; ${left}`,
    `reason: ${wordOf(leaseReasonToJSON(reason), 'LEASE_REASON_')}; fence ${fence}`,
    ...(traceparent === '' ? [] : [`trace: ${printable(traceparent)}`]),
  ];
}

function pastLines(leases: readonly PastLease[]): string[] {
  const rows = leases.map(({ holder, heldMs, endedAgoMs, end, fence, failureMessage }) => [
    `${duration(endedAgoMs)} ago`,
    wordOf(leaseEndToJSON(end), 'LEASE_END_'),
    duration(heldMs),
    named(holder),
    `${fence}`,
    printable(failureMessage),
  ]);
  return table(['ENDED', 'HOW', 'HELD', 'HOLDER', 'FENCE', 'FAILURE'], rows);
}

function named(holder: string): string {
  return holder === '' ? 'unnamed caller' : printable(holder);
}

/** `LEASE_END_SESSION_LOST` becomes `session lost`; a value of a later version becomes `unspecified`. */
function wordOf(name: string, prefix: string): string {
  return name.startsWith(prefix)
    ? name.slice(prefix.length).toLowerCase().replaceAll('_', ' ')
    : 'unspecified';
}
