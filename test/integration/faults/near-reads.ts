import { byKey, type GetEntry, type InvalidateEntry, meets, type Window } from './history.js';

/**
 * How far another replica may be behind one that has answered an invalidation: its channel of wakes counts as live for
 * 1.5 s after a pong, which may itself have been on its way for a while on a busy machine.
 */
const BEHIND_MS_MAX = 2_500;

/**
 * INV-15, as far as an outsider can tell: what was made under a lease from before an invalidation is not read with
 * READ_NEAR after it. At the replica that answered the invalidation that holds at once; at any other one after a
 * while, and for what is called fresh: without its channel, it may serve what it kept as stale.
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
  // A proxy that lets bytes vanish while the change is made may let its wake vanish, which no connection does.
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
