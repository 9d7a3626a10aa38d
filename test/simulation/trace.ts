/** A record of all events: text for people, and one number for comparisons. */
export class Trace {
  #hash = 0x811c9dc5;
  #count = 0;

  /** `print` receives each line. Without it, only the number is kept. */
  constructor(private readonly print?: (line: string) => void) {}

  /** Whether lines are printed. If not, callers need not build them. */
  get isHeard(): boolean {
    return this.print !== undefined;
  }

  /** FNV-1a over all numbers and lines so far, with their count. */
  get digest(): string {
    return `${this.#hash.toString(16).padStart(8, '0')}-${this.#count}`;
  }

  add(nowMs: number, what: string): void {
    this.#count += 1;
    this.#mix(Math.round(nowMs * 2));
    for (let at = 0; at < what.length; at += 1) this.#mix(what.charCodeAt(at));
    this.print?.(`${nowMs.toFixed(1).padStart(9)}  ${what}`);
  }

  #mix(value: number): void {
    this.#hash = Math.imul(this.#hash ^ value, 0x01000193) >>> 0;
  }
}
