import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Diagnosis } from '../../src/doctor/finding.js';

type Report = Diagnosis & { readonly healthy: boolean; readonly faults: number; readonly warnings: number };
type Env = Readonly<Record<string, string>>;

/** Runs `dibs doctor` as a separate process with a replica's environment. */
export async function runDoctor(
  env: Env,
  ...args: string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  const options = { env: { PATH: process.env.PATH, ...env } };
  try {
    const output = await promisify(execFile)(process.execPath, ['dist/cli.js', 'doctor', ...args], options);
    return { code: 0, ...output };
  } catch (error) {
    return error as { code: number; stdout: string; stderr: string };
  }
}

/** Parses its report. Rejects if it wrote to standard error. */
export async function examined(env: Env, ...args: string[]): Promise<Report & { readonly code: number }> {
  const { code, stdout, stderr } = await runDoctor(env, '--json', ...args);
  if (stderr !== '') throw new Error(stderr);
  return { code, ...(JSON.parse(stdout) as Report) };
}

/** The faults and warnings of a report, as `fault of part: check: detail`. */
export function troublesOf({ findings }: Diagnosis): string[] {
  return findings
    .filter(({ result }) => result !== 'ok')
    .map(({ part, check, result, detail }) => `${result} of ${part}: ${check}: ${detail}`);
}
