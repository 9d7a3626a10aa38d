import type { Replica } from './replica.js';

/** What a replica has logged, line by line. Of the first line only the end may be kept, so that it is left out. */
export function linesOf({ log }: Pick<Replica, 'log'>): Record<string, unknown>[] {
  const lines = log.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'));
  return lines.map((line) => JSON.parse(line));
}
