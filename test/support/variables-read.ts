import { readdirSync, readFileSync } from 'node:fs';

/** The variables that clients read. */
export const CLIENT_VARIABLES = ['DIBS_TARGET', 'DIBS_TOKEN', 'DIBS_TOKEN_FILE', 'DIBS_TLS_CA'];

/** The names of all variables that the process reads, as the code has them. */
export function variablesRead(): ReadonlySet<string> {
  const files = readdirSync('src/config').filter((name) => /^(?:config|\w+-environment)\.ts$/.test(name));
  return new Set(files.flatMap((name) => variablesIn(`src/config/${name}`)));
}

export function variablesIn(path: string): string[] {
  return readFileSync(path, 'utf8').match(/\bDIBS_[A-Z_]*[A-Z]\b/g) ?? [];
}
