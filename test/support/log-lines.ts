import type { Replica } from './replica.js';

/** The lines that a replica has logged. The first is left out, because only its end may have been kept. */
export function linesOf({ log }: Pick<Replica, 'log'>): Record<string, unknown>[] {
  const lines = log.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'));
  return lines.map((line) => JSON.parse(line));
}
