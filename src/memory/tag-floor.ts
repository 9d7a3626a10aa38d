/** As many as a tag has hashes. */
const ROWS = 4;
/** A twentieth of the 80,000 stamps that are kept. The Redis twin has as many, by three hexadecimal digits. */
const CELLS = 4_096;

/**
 * What is left of forgotten stamps: a sketch like the count-min sketch (Cormode and Muthukrishnan, 2005), which keeps
 * the highest stamp instead of a sum. Each row has one cell for a tag, and the lowest of its four counts. If other tags
 * share all four, a tag may seem invalidated later than it was, never earlier. With one floor for all tags, each
 * forgotten stamp would drop everything that was stored before it.
 */
export class TagFloor {
  readonly #cells = new Float64Array(ROWS * CELLS);

  /** The tag had this stamp, which is no longer kept. */
  forget(tag: string, stamp: number): void {
    for (const cell of cellsOf(tag)) this.#cells[cell] = Math.max(this.#cells[cell] ?? 0, stamp);
  }

  /** No forgotten stamp of the tag is higher. */
  of(tag: string): number {
    return Math.min(...cellsOf(tag).map((cell) => this.#cells[cell] ?? 0));
  }
}

function cellsOf(tag: string): number[] {
  return Array.from({ length: ROWS }, (_, row) => row * CELLS + (hash(tag, row) % CELLS));
}

/** FNV-1a with a seed for each row, and the last mixing of MurmurHash3: FNV's low bits alone follow the last letter. */
function hash(text: string, seed: number): number {
  let mixed = 0x811c9dc5 ^ Math.imul(seed, 0x9e3779b1);
  for (let at = 0; at < text.length; at++) mixed = Math.imul(mixed ^ text.charCodeAt(at), 0x01000193);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
