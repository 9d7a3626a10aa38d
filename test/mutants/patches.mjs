import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
export const root = join(here, '..', '..');

/** Reads the mutants, by name. Each is a patch with three header lines. */
export function patches() {
  const folder = join(here, 'patches');
  return readdirSync(folder)
    .filter((file) => file.endsWith('.patch'))
    .sort()
    .map((file) => {
      const text = readFileSync(join(folder, file), 'utf8');
      const [, title, breaks, killer] = /^# (.+)\n# Breaks: (.+)\n# Killer: (.+)\n---/.exec(text) ?? [];
      if (title === undefined) throw new Error(`${file} does not begin with the three header lines`);
      return { name: file.replace('.patch', ''), title, breaks, killer, path: join(folder, file) };
    });
}
