import { DibsError } from './errors.js';

/** A year, the contract's bound. */
export const TTL_MS_MAX = 31_536_000_000;
/** The longest time that a timer can count. */
export const TIMER_MS_MAX = 2_147_483_647;
const TAGS_MAX = 16;
const TAG_BYTES_MAX = 256;

/** How a value is stored. */
export interface Storing {
  readonly ttlMs?: number | undefined;
  readonly absentTtlMs?: number | undefined;
  readonly staleMs?: number | undefined;
  readonly tags?: readonly string[] | undefined;
}

/** The numbers and words of a call's options. */
interface Said extends Storing, Partial<Record<(typeof WORDS)[number][0], string | undefined>> {
  readonly waitMs?: number | undefined;
  readonly leaseMs?: number | undefined;
}

const BOUNDS: Readonly<
  Record<Exclude<'waitMs' | 'leaseMs' | keyof Storing, 'tags'>, readonly [min: number, max: number]>
> = {
  ttlMs: [1, TTL_MS_MAX],
  absentTtlMs: [1, TTL_MS_MAX],
  staleMs: [0, TTL_MS_MAX],
  waitMs: [0, TIMER_MS_MAX],
  leaseMs: [1, TIMER_MS_MAX],
};

/** The allowed words of options. In JavaScript an option may be anything. */
const WORDS = [
  ['stale', ['allow', 'forbid']],
  ['read', ['near', 'store']],
  ['revalidate', ['background', 'await']],
  ['onUnavailable', ['rebuild', 'fail']],
] as const;

const NAMES = Object.keys(BOUNDS) as (keyof typeof BOUNDS)[];

/** The same options in whole milliseconds. Throws for an option outside its bounds, before anything is sent. */
export function checked<Options extends Said>(options: Options): Options {
  let whole: Options | undefined;
  for (const name of NAMES) {
    const ms = options[name];
    if (ms === undefined) continue;
    const rounded = wholeMs(name, ms, ...BOUNDS[name]);
    if (rounded !== ms) whole = { ...(whole ?? options), [name]: rounded };
  }
  if (options.tags !== undefined) checkTags(options.tags);
  for (const [name, words] of WORDS) checkWord(name, options[name], words);
  return whole ?? options;
}

/** The same for a value that will be stored. Without a TTL it would be rebuilt for each call, and never stored. */
export function checkedToStore<Options extends Said>(options: Options): Options {
  const given = checked(options);
  // It is undefined: the error names its bounds.
  if (given.ttlMs === undefined) wholeMs('ttlMs', given.ttlMs as never, ...BOUNDS.ttlMs);
  if (given.tags === undefined) return given;
  // A copy, because the caller may change its list before the value is stored.
  return { ...given, tags: [...given.tags] };
}

/** A fraction counts as a whole millisecond, so that it does not become 0. */
export function wholeMs(name: string, ms: number, min: number, max: number): number {
  const rounded = typeof ms === 'number' ? Math.ceil(ms) : Number.NaN;
  if (ms >= 0 && rounded >= min && rounded <= max) return rounded;
  throw new DibsError('INVALID_ARGUMENT', `${name}: ${String(ms)} is outside ${min} to ${max}`);
}

/** For a call that the service checks: any number that the wire can carry. */
export function sendable(name: string, ms: number): number;
export function sendable(name: string, ms: number | undefined): number | undefined;
export function sendable(name: string, ms: number | undefined): number | undefined {
  if (ms === undefined || Number.isSafeInteger(ms)) return ms;
  const rounded = Math.ceil(ms);
  if (Number.isSafeInteger(rounded)) return rounded;
  throw new DibsError('INVALID_ARGUMENT', `${name}: ${ms} is not a number of milliseconds`);
}

export function checkWord(name: string, word: string | undefined, words: readonly string[]): void {
  if (word === undefined || words.includes(word)) return;
  throw new DibsError('INVALID_ARGUMENT', `${name}: ${String(word)} is not one of ${words.join(', ')}`);
}

/** A plain string would be taken for a list of its characters. */
export function checkTexts(name: string, texts: readonly string[]): void {
  if (!Array.isArray(texts)) throw new DibsError('INVALID_ARGUMENT', `${name}: is not a list`);
  for (const text of texts) checkText(name, text);
}

function checkTags(tags: readonly string[]): void {
  checkTexts('tags', tags);
  if (tags.length > TAGS_MAX) {
    throw new DibsError('INVALID_ARGUMENT', `tags: ${tags.length} are more than ${TAGS_MAX}`);
  }
  for (const tag of tags) {
    const bytes = Buffer.byteLength(tag);
    if (bytes < 1 || bytes > TAG_BYTES_MAX) {
      throw new DibsError('INVALID_ARGUMENT', `tags: ${bytes} bytes is outside 1 to ${TAG_BYTES_MAX}`);
    }
  }
}

/** Half a surrogate pair has no UTF-8. Two different broken texts would become one. */
export function checkText(name: string, text: string): void {
  if (typeof text === 'string' && text.isWellFormed()) return;
  throw new DibsError('INVALID_ARGUMENT', `${name}: is not well-formed text`);
}
