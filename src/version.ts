import { readFileSync } from 'node:fs';

/** Of this build, as `package.json` beside `src/` and `dist/` has it. */
export const VERSION: string = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
).version;
