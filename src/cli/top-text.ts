import { busyOf, callsOf, type Figures, hitRatioOf, sum, together } from './figures.js';
import { printable } from './printable.js';
import { count, duration, rate } from './quantities.js';
import { table } from './table.js';

/** What was seen of one replica: its figures, or why there are none. */
export type Seen = { readonly replica: string } & (
  | { readonly figures: Figures; readonly problem?: undefined }
  | { readonly problem: string; readonly figures?: undefined }
);

const NUMBERS = [
  ...['CALLS/S', 'HIT/S', 'STALE/S', 'LEASE/S', 'BUSY/S', 'FAILED/S', 'HITS'],
  ...['WAITERS', 'LONGEST', 'LEASES', 'PUBLISH/S'],
];
const HEADING = ['REPLICA', ...NUMBERS, 'LOCK NODES', 'DEGRADED'];

/** The whole screen, line by line. */
export function topText(seen: readonly Seen[], at: Date): string[] {
  const known = seen.flatMap(({ figures }) => (figures === undefined ? [] : [figures]));
  const all = together(known);
  const rows = seen.flatMap(({ replica, figures }) =>
    figures === undefined ? [] : [rowOf(replica, figures, lockNodesOf(figures))],
  );
  if (known.length > 1) rows.push(rowOf('all', all, ''));
  const busy = [...busyOf(all)].map(([reason, perSecond]) => `${printable(reason)} ${rate(perSecond)}/s`);
  return [
    `dibs top  ${at.toTimeString().slice(0, 8)}  ${count(seen.length, 'replica')}`,
    '',
    ...(rows.length === 0 ? [] : table(HEADING, rows, new Set(NUMBERS))),
    ...seen.flatMap(({ replica, problem }) =>
      problem === undefined ? [] : [`${replica}: ${printable(problem)}`],
    ),
    ...(busy.length === 0 ? [] : ['', `busy: ${busy.join(', ')}`]),
  ];
}

function rowOf(replica: string, figures: Figures, lockNodes: string): string[] {
  const { calls, waiters, longestWaitMs = 0, leases, publishes, degraded } = figures;
  const of = (outcome: string) => rate(calls.get(outcome) ?? 0);
  const hits = hitRatioOf(figures);
  return [
    replica,
    rate(callsOf(figures)),
    ...[of('hit'), of('stale'), of('lease'), rate(sum(busyOf(figures).values())), of('failed')],
    hits === undefined ? '-' : `${(100 * hits).toFixed(1)}%`,
    waiters.toLocaleString('en'),
    longestWaitMs === 0 ? '-' : duration(longestWaitMs),
    ...[leases.toLocaleString('en'), rate(publishes)],
    lockNodes,
    degraded.size === 0 ? 'no' : [...degraded].map(printable).join(', '),
  ];
}

function lockNodesOf({ lockNodes }: Figures): string {
  const states = [...lockNodes].filter(([, nodes]) => nodes > 0);
  return states.length === 0
    ? 'embedded'
    : states.map(([state, nodes]) => `${nodes} ${printable(state)}`).join(', ');
}
