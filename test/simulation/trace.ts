/** What happened, as text for a person and as one number for a comparison. */
export class Trace {
  #hash = 0x811c9dc5;
  #count = 0;

  /** `print` hears each line; without it only the number is kept. */
  constructor(private readonly print?: (line: string) => void) {}

  /** Says whether lines are heard, so that nobody makes one in vain. */
  get isHeard(): boolean {
    return this.print !== undefined;
  }

  /** FNV-1a over every number and line so far, and how many there were. */
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
