import { Faults } from './faults.js';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Reads variables one by one and collects their faults. If there is a fault, the returned value is not used. */
export class EnvironmentReader {
  readonly faults = Faults.none();

  /** Every variable that was asked for, set or not. */
  readonly asked = new Set<string>();

  constructor(private readonly env: Environment) {}

  get(name: string): string | undefined {
    this.asked.add(name);
    const value = this.env[name]?.trim();
    return value === '' ? undefined : value;
  }

  /** The file's text. If it cannot be read, adds a fault and returns undefined. */
  fileAt(name: string, path: string, read: (path: string) => string): string | undefined {
    return this.faults.textAt(name, path, read);
  }

  /** A default is clamped to the bounds; an explicit value outside them is a fault. */
  whole(name: string, fallback: number, min: number, max: number): number {
    const text = this.get(name);
    if (text === undefined) return Math.min(max, Math.max(min, fallback));
    const value = Number(text);
    if (/^\d{1,15}$/.test(text) && value >= min && value <= max) return value;
    this.faults.add(name, `'${text}' is not a whole number within ${min} to ${max}`);
    return Math.min(max, Math.max(min, fallback));
  }

  choice<const Choices extends readonly string[]>(
    name: string,
    fallback: Choices[number],
    choices: Choices,
  ): Choices[number] {
    const text = this.get(name) ?? fallback;
    if (choices.includes(text)) return text;
    this.faults.add(name, `'${text}' is not one of ${choices.join(', ')}`);
    return fallback;
  }
}

/** Undefined unless it is an absolute URL with the scheme http or https. */
export function httpUrlOf(text: string): URL | undefined {
  return /^https?:\/\/[^/]/i.test(text) && URL.canParse(text) ? new URL(text) : undefined;
}
