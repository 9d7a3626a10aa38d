import { expect } from 'vitest';
import { loadConfig } from '../../src/config/config.js';
import type { Environment } from '../../src/config/environment-reader.js';
import { ConfigError } from '../../src/config/faults.js';

/** Returns the configuration's faults; empty if it is valid. */
export function faults(env: Environment, file?: string): readonly string[] {
  try {
    loadConfig(env, file === undefined ? undefined : () => file);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.faults;
  }
}

/** Returns the only fault. Fails if there is not exactly one. */
export function fault(env: Environment, file?: string): string | undefined {
  const all = faults(env, file);
  expect(all).toHaveLength(1);
  return all[0];
}
