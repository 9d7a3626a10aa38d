import type { z } from 'zod';

/** All faults at once, so that ten faults do not need ten starts. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';

  constructor(readonly faults: readonly string[]) {
    super(
      `the configuration has ${faults.length} fault(s):\n${faults.map((fault) => `  ${fault}`).join('\n')}`,
    );
  }
}

/** Longer paths are rare, and most private keys are longer. */
const SHOWN_PATH_MAX = 255;
/** PEM, also in base64, or only what stands within its lines. */
const PEM = /-----BEGIN|^\s*LS0tLS1CRUdJTi|^\s*M[A-Za-z0-9+/_-]{60,}={0,2}\s*$/;

/** Whether this is perhaps a file's content, set where its path belongs. It may be secret then. */
export function maybeContent(path: string): boolean {
  return path.length > SHOWN_PATH_MAX || /[\r\n]/.test(path) || PEM.test(path);
}

/** The bounds of one fault, and of the faults of one file. If it is the wrong file, the rest would not help. */
const FAULT_CHARS_MAX = 1_000;
const FAULTS_MAX = 100;

function shortened(text: string): string {
  const more = text.length - FAULT_CHARS_MAX;
  return more > 0 ? `${text.slice(0, FAULT_CHARS_MAX)}… and ${more} more characters` : text;
}

/** In a quoted value, which may contain spaces and quotes: up to its last @. */
const QUOTED_PASSWORD = /('\S*?:\/\/)[\s\S]*?@(?=[^'@]*'(?: |,|;|$))/g;

/** A Redis URL may be set in the wrong variable, whose fault repeats its value. */
function withoutPasswords(text: string): string {
  return text.replaceAll(QUOTED_PASSWORD, '$1…@').replaceAll(/:\/\/\S*@/g, '://…@');
}

/** Collects faults. Each begins with its place: a variable, and a path in the variable's file. */
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
    const fault = withoutPasswords(path === '' ? what : `${path}: ${what}`);
    this.#all.push(`${this.prefix}${shortened(fault)}`);
  }

  /** Collects the faults within a file into this one. */
  in(variable: string): Faults {
    return new Faults(this.#all, `${this.prefix}${variable}: `);
  }

  /** The result of `work`. If it throws, adds a fault and returns undefined. */
  attempt<Result>(path: string, what: string, work: () => Result): Result | undefined {
    try {
      return work();
    } catch (error) {
      this.add(path, `${what}: ${(error as Error).message.trim()}`);
      return undefined;
    }
  }

  /** The text of the file at `path`. If it cannot be read, adds a fault and returns undefined. */
  textAt(place: string, path: string, read: (path: string) => string): string | undefined {
    if (!maybeContent(path)) return this.attempt(place, `'${path}' cannot be read`, () => read(path));
    try {
      return read(path);
    } catch {
      // A private key, perhaps, which the text of the error repeats.
      this.add(place, 'cannot be read, and looks like the content of a file; set the path of the file');
      return undefined;
    }
  }

  /** The content parsed by the schema. If it does not fit, adds the faults and returns undefined. */
  fitting<Schema extends z.ZodType>(schema: Schema, content: unknown): z.output<Schema> | undefined {
    const result = schema.safeParse(content);
    if (result.success) return result.data;
    const { issues } = result.error;
    for (const issue of issues.slice(0, FAULTS_MAX)) {
      if (issue.code !== 'invalid_key') this.add(issue.path.join('.'), issue.message);
      else this.add(placeOf(issue.path, content), issue.issues[0]?.message ?? issue.message);
    }
    if (issues.length > FAULTS_MAX) this.add('', `has ${issues.length - FAULTS_MAX} more faults`);
    return undefined;
  }
}

/** The place of an invalid name, without the name: it may be a secret in the wrong place. */
function placeOf(path: readonly PropertyKey[], content: unknown): string {
  const above = path.slice(0, -1);
  const map = above.reduce((at, name) => (at as Record<PropertyKey, unknown>)[name], content);
  const position = Object.keys(map as object).indexOf(String(path.at(-1))) + 1;
  return `${above.join('.')} (name ${position})`;
}

/** A setting, probably misspelt. Anything else in the place of a name may be a secret, so a fault does not repeat it. */
const LIKE_A_SETTING = /^[a-z_]{1,24}$/;

/** The fault of unknown settings. */
export function unknownSettings(unknown: readonly string[], known: readonly string[]): string {
  const names = unknown.map((it) => (LIKE_A_SETTING.test(it) ? it : '…'));
  return `${names.join(', ')}: not known; known are ${known.join(', ')}`;
}
