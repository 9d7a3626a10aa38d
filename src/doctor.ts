import { ConfigError } from './config/faults.js';
import { diagnose } from './doctor/diagnose.js';
import type { Diagnosis } from './doctor/finding.js';
import { SystemChance } from './system-chance.js';
import { SystemClock } from './system-clock.js';

/** The examination of `dibs doctor`, or why a replica would refuse this environment: one line for each fault. */
export async function runDiagnosis(
  env: Readonly<Record<string, string | undefined>>,
): Promise<Diagnosis | { readonly refusal: string }> {
  try {
    return await diagnose({ env, clock: new SystemClock(), chance: new SystemChance() });
  } catch (error) {
    if (error instanceof ConfigError) return { refusal: error.message };
    throw error;
  }
}
