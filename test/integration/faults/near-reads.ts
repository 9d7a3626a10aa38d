import { byKey, type GetEntry, type InvalidateEntry, meets, type Window } from './history.js';

/**
 * How far other replicas may be behind the one that answered an invalidation: a wake channel counts as live for 1.5 s
 * after a pong, which may itself be late on a busy machine.
 */
const BEHIND_MS_MAX = 2_500;

/**
 * INV-15, as far as clients can tell: READ_NEAR after an invalidation does not return a value of an earlier lease. At
 * the replica that answered the invalidation, this holds at once. At others it holds after a while, and for values
 * reported as fresh: without its wake channel, a replica may serve a kept value as stale.
 */
export function nearReadsAfter(
  invalidations: readonly InvalidateEntry[],
  gets: readonly GetEntry[],
  leases: readonly GetEntry[],
  windows: readonly Window[],
): string[] {
  const violations: string[] = [];
  const madeAfter = new Map(leases.map(({ key, token, end }) => [`${key} ${token}`, end]));
  const storeTrouble = windows.filter(({ kind }) => kind === 'store');
  // A proxy that drops bytes during the change may drop its wake, which no real connection does.
  const told = ({ start, end }: InvalidateEntry) => !storeTrouble.some((window) => meets(window, start, end));
  const keyed = byKey(invalidations.filter(({ acknowledged }) => acknowledged));
  for (const { key, store, outcome, value, fresh, start, replica } of gets) {
    if (store || outcome !== 'hit' || value === undefined) continue;
    const since = madeAfter.get(`${key} ${value.token}`);
    for (const change of since === undefined ? [] : (keyed.get(key) ?? [])) {
      if ((since as number) >= change.start) continue;
      const isOwn = change.replica === replica;
      const late = start - change.end;
      const isOld = isOwn
        ? late > 0 && (change.mode === 'delete' || fresh === true)
        : late > BEHIND_MS_MAX && fresh === true && told(change);
      if (isOld) {
        const where = isOwn ? 'the same replica' : 'another replica';
        violations.push(
          `INV-15 ${key}: READ_NEAR served fence ${value.fence} ${late.toFixed(0)} ms after ${change.mode} at ${where}`,
        );
      }
    }
  }
  return violations;
}
