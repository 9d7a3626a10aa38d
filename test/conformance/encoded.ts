import type { Json } from './adapter.js';
import { isObject } from './matches.js';

/** Encodes a value. A scenario writes it as text, or as a number of `x`. */
export function base64(value: unknown): string {
  const { size } = (typeof value === 'object' && value !== null ? value : {}) as { size?: number };
  return Buffer.from(size === undefined ? String(value) : 'x'.repeat(size)).toString('base64');
}

/** Encodes the bytes of values and of previous values as JSON has them. */
export function encoded(of: unknown, name = ''): unknown {
  if (Array.isArray(of)) return of.map((one) => encoded(one));
  if (name === 'values' && isObject(of)) {
    return Object.fromEntries(Object.entries(of).map(([key, one]) => [key, encoded(one, 'value')]));
  }
  const isBytes = name === 'value' || name === 'previous';
  if (isBytes && typeof of === 'string' && !of.startsWith('$')) return base64(of);
  if (typeof of !== 'object' || of === null) return of;
  if (isBytes && 'size' in of) return base64(of);
  return Object.fromEntries(Object.entries(of).map(([field, one]) => [field, encoded(one, field)]));
}

export const wire = (request: Json): Json => encoded(request) as Json;
