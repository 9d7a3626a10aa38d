/** One mutant; see patches.mjs. */
export interface Mutant {
  readonly name: string;
  readonly title: string;
  readonly breaks: string;
  readonly killer: string;
  readonly path: string;
}

export const root: string;
export function patches(): Mutant[];
