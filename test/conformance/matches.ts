/** A pattern for a value, such as `$starts: text`. There are also `$any`, `$none` and `$positive`. */
interface Pattern {
  readonly $starts?: string;
  readonly $contains?: string;
  readonly $lacks?: string;
  readonly $atLeast?: number;
  readonly $atMost?: number;
}

type Fields = Record<string, unknown>;

export const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Describes how `actual` differs from `expected`; undefined if it does not. Objects may have more fields than expected.
 * In the JSON of a proto message, 64-bit numbers are texts, and zero values are missing.
 */
export function mismatch(expected: unknown, actual: unknown, path = ''): string | undefined {
  const differs = () =>
    `${path || 'the result'}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`;
  if (expected === '$any') return actual === undefined ? differs() : undefined;
  if (expected === '$none') return actual === undefined || actual === null ? undefined : differs();
  if (expected === '$positive') return Number(actual) > 0 ? undefined : differs();
  if (Array.isArray(expected)) {
    if (!Array.isArray(actual) || actual.length !== expected.length) return differs();
    return first(expected.map((one, at) => mismatch(one, actual[at], `${path}[${at}]`)));
  }
  if (isObject(expected)) {
    const { $starts, $contains, $lacks, $atLeast, $atMost }: Pattern = expected;
    if ($starts !== undefined) return String(actual).startsWith($starts) ? undefined : differs();
    if ($contains !== undefined) return String(actual).includes($contains) ? undefined : differs();
    if ($lacks !== undefined) return lacks(actual, $lacks) ? undefined : differs();
    if ($atLeast !== undefined || $atMost !== undefined) {
      const number = Number(actual ?? 0);
      const within =
        number >= ($atLeast ?? Number.NEGATIVE_INFINITY) && number <= ($atMost ?? Number.POSITIVE_INFINITY);
      return within ? undefined : differs();
    }
    if (!isObject(actual)) return differs();
    return first(
      Object.entries(expected).map(([name, one]) =>
        mismatch(one, actual[name], path === '' ? name : `${path}.${name}`),
      ),
    );
  }
  if (typeof expected === 'number') return Number(actual ?? 0) === expected ? undefined : differs();
  if (expected === false || expected === '')
    return actual === undefined || actual === expected ? undefined : differs();
  return actual === expected ? undefined : differs();
}

/** A missing text does not count as one that lacks `text`, because there was nothing to check. */
function lacks(actual: unknown, text: string): boolean {
  return typeof actual === 'string' && actual !== '' && !actual.includes(text);
}

function first(all: readonly (string | undefined)[]): string | undefined {
  return all.find((one) => one !== undefined);
}

/** Treats the service's refusal of an option like the client's own, because callers see no difference. */
export function refusal({ error }: Fields, actual: Fields): Fields {
  const { kind } = (error ?? {}) as Fields;
  const told = actual.error as Fields | undefined;
  if (kind !== 'invalid_option' || told?.kind !== 'dibs' || told.code !== 'INVALID_ARGUMENT') return actual;
  return { error: { ...told, kind: 'invalid_option' } };
}
