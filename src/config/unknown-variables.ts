import type { Environment } from './environment-reader.js';

/** A client or the command `dibs` in the same environment reads these. */
const OF_CLIENTS = [
  'DIBS_TARGET',
  'DIBS_TOKEN',
  'DIBS_TOKEN_FILE',
  'DIBS_TLS_CERT',
  'DIBS_TLS_KEY',
  'DIBS_TLS_CA',
];
/**
 * Kubernetes sets these for each Service of the namespace, so a Service `dibs` or `dibs-console` sets variables that
 * begin with DIBS_. Its links have values like `tcp://10.0.0.1:50051`.
 */
const OF_KUBERNETES =
  /_SERVICE_(?:HOST|PORT)(?:_[A-Z0-9_]+)?$|_PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?$/;
const LINK_OF_KUBERNETES = /^(?:tcp|udp|sctp):\/\//;
/** With more changed letters than this, it is a different word. */
const CHANGES_MAX = 6;

export interface UnknownVariable {
  readonly variable: string;
  /** The known variable that looks most like it. */
  readonly nearest?: string;
}

/** The variables that begin with DIBS_ and mean nothing: probably misspelt. */
export function unknownVariables(env: Environment, known: ReadonlySet<string>): readonly UnknownVariable[] {
  const ours = new Set([...known, ...OF_CLIENTS].filter((name) => name.startsWith('DIBS_')));
  return Object.entries(env)
    .filter(([name, value = '']) => /^DIBS_/i.test(name) && value.trim() !== '' && !ours.has(name))
    .filter(([name, value = '']) => !OF_KUBERNETES.test(name) && !LINK_OF_KUBERNETES.test(value))
    .map(([variable]) => ({ variable, nearest: nearestOf(variable.toUpperCase(), ours) }));
}

function nearestOf(name: string, known: Iterable<string>): string | undefined {
  let nearest: string | undefined;
  let fewest = Math.min(CHANGES_MAX, Math.floor(name.length / 3)) + 1;
  for (const one of known) {
    const changes = changesBetween(name, one);
    if (changes >= fewest) continue;
    nearest = one;
    fewest = changes;
  }
  return nearest;
}

/** The Levenshtein distance. */
function changesBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (const [j, other] of [...b].entries()) {
      const [left = 0, up = 0, corner = 0] = [next[j], row[j + 1], row[j]];
      next.push(Math.min(left + 1, up + 1, corner + (letter === other ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
