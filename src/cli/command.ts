import { type ParseArgsConfig, parseArgs } from 'node:util';

/** Exit codes, which scripts rely on. */
export const OK = 0;
/** The service said no, or cannot be reached. */
export const REFUSED = 1;
/** What was asked for makes no sense; nothing was sent. */
export const MISUSED = 2;

/** What a command sees of the process that it runs in. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly version: string;
  readonly out: Output;
  readonly err: Pick<Output, 'write'>;
  /** From now on, Ctrl-C only aborts this. */
  interrupted(): AbortSignal;
}

/** As much of a stream as is needed; `columns` only where it is a terminal. */
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
  /** The exit code. Throws {@link Misuse} or {@link Refusal}, whose message is then the one line that is printed. */
  run(args: readonly string[], surroundings: Surroundings): Promise<number>;
}

/** The command line itself is wrong. */
export class Misuse extends Error {}

/** The service said no, or cannot be reached. */
export class Refusal extends Error {}

/** As `parseArgs`, with {@link Misuse} for what it does not take. */
export function parsed<const Config extends ParseArgsConfig>(config: Config) {
  try {
    return parseArgs(config);
  } catch (error) {
    if (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'))
      throw new Misuse(error.message.replaceAll('\n', ' '));
    throw error;
  }
}
