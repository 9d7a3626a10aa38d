import type { z } from 'zod';

/** Everything that is wrong, at once: nobody should have to start a process ten times to see ten faults. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';

  constructor(readonly faults: readonly string[]) {
    super(
      `the configuration has ${faults.length} fault(s):\n${faults.map((fault) => `  ${fault}`).join('\n')}`,
    );
  }
}

/** Gathers what is wrong. Each fault begins with where it is: a variable, and in its file a path. */
export class Faults {
  readonly #all: string[];

  private constructor(
    all: string[],
    private readonly prefix: string,
  ) {
    this.#all = all;
  }

  static none(): Faults {
    return new Faults([], '');
  }

  get all(): readonly string[] {
    return this.#all;
  }

  get any(): boolean {
    return this.#all.length > 0;
  }

  /** An empty path is the whole file. */
  add(path: string, what: string): void {
    this.#all.push(path === '' ? `${this.prefix}${what}` : `${this.prefix}${path}: ${what}`);
  }

  /** Gathers into this one what is wrong within a file. */
  in(variable: string): Faults {
    return new Faults(this.#all, `${this.prefix}${variable}: `);
  }

  /** What `work` returns; undefined, with a fault, if it throws. */
  attempt<Result>(path: string, what: string, work: () => Result): Result | undefined {
    try {
      return work();
    } catch (error) {
      this.add(path, `${what}: ${(error as Error).message.trim()}`);
      return undefined;
    }
  }

  /** What a schema makes of it; undefined, with its faults, if it does not fit. */
  fitting<Schema extends z.ZodType>(schema: Schema, content: unknown): z.output<Schema> | undefined {
    const result = schema.safeParse(content);
    if (result.success) return result.data;
    for (const issue of result.error.issues) {
      const message =
        issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message;
      this.add(issue.path.join('.'), message);
    }
    return undefined;
  }
}
