import { type ParseArgsConfig, parseArgs } from 'node:util';
import type { Diagnosis } from '../doctor/finding.js';

/** Exit codes, which scripts rely on. */
export const OK = 0;
/** The service refused, or cannot be reached; or faults were found. */
export const REFUSED = 1;
/** Wrong command line or environment; nothing was sent. */
export const MISUSED = 2;

/** What a command sees of the process that it runs in. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly version: string;
  readonly out: Output;
  readonly err: Pick<Output, 'write'>;
  /** Examines what a replica with this environment would use; or says why it would refuse to start. */
  diagnose(env: Surroundings['env']): Promise<Diagnosis | { readonly refusal: string }>;
  /** From now on, Ctrl-C only aborts this. */
  interrupted(): AbortSignal;
}

/** The part of a stream that commands need; `columns` only for a terminal. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface Command {
  readonly name: string;
  /** One line in the list of all commands. */
  readonly summary: string;
  readonly help: string;
  /** Returns the exit code. Throws {@link Misuse} or {@link Refusal}; their message is printed as one line. */
  run(args: readonly string[], surroundings: Surroundings): Promise<number>;
}

/** The command line itself is wrong. */
export class Misuse extends Error {}

/** The service refused, or cannot be reached. */
export class Refusal extends Error {}

/** Like `parseArgs`, but throws {@link Misuse}. */
export function parsed<const Config extends ParseArgsConfig>(config: Config) {
  try {
    return parseArgs(config);
  } catch (error) {
    if (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'))
      throw new Misuse(error.message.replaceAll('\n', ' '));
    throw error;
  }
}
