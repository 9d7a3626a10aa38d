import { types } from 'node:util';

/** What JSON silently changes, and what to use instead. */
const KINDS: readonly (readonly [is: (value: object) => boolean, fault: string])[] = [
  [types.isMap, 'a Map has no form in JSON; use an object or a list of pairs'],
  [types.isSet, 'a Set has no form in JSON; use a list'],
  [types.isRegExp, 'a RegExp has no form in JSON; use its source'],
  [types.isPromise, 'a Promise has no form in JSON; await it'],
  [types.isNativeError, 'an Error has no form in JSON; use its message'],
  [isWeak, 'a WeakMap or WeakSet has no form in JSON'],
];
const BYTES = 'bytes have no form in JSON; set `codec: bytes()` for a value that is bytes';

/**
 * Why JSON would not bring a value back unchanged, with the path to the faulty part, such as `value.items[2].price: NaN
 * has no form in JSON; ...`; undefined if it would.
 */
export function jsonFault(value: unknown): string | undefined {
  return faultAt(value, 'value', '', new Set());
}

function faultAt(value: unknown, path: string, name: string, within: Set<object>): string | undefined {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return undefined;
    case 'number':
      return Number.isFinite(value)
        ? undefined
        : `${path}: ${value} has no form in JSON; use null or a string`;
    case 'undefined':
      return `${path}: undefined has no form in JSON; leave it out, or use null`;
    case 'object':
      return value === null ? undefined : faultOf(value, path, name, within);
    case 'bigint':
      return `${path}: a bigint has no form in JSON; use a number or a string`;
    default:
      return `${path}: a ${typeof value} has no form in JSON`;
  }
}

function faultOf(value: object, path: string, name: string, within: Set<object>): string | undefined {
  if (within.has(value)) return `${path}: refers to what it is part of, which has no form in JSON`;
  if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) return `${path}: ${BYTES}`;
  const kind = KINDS.find(([is]) => is(value));
  within.add(value);
  try {
    if ('toJSON' in value && typeof value.toJSON === 'function') {
      return faultAt(value.toJSON(name), path, name, within);
    }
    if (kind !== undefined) return `${path}: ${kind[1]}`;
    if (types.isBoxedPrimitive(value)) return faultAt(value.valueOf(), path, name, within);
    return Array.isArray(value) ? faultInList(value, path, within) : faultInObject(value, path, within);
  } finally {
    within.delete(value);
  }
}

function faultInList(list: readonly unknown[], path: string, within: Set<object>): string | undefined {
  // By index, because a hole would become null.
  for (let at = 0; at < list.length; at += 1) {
    const fault = faultAt(list[at], `${path}[${at}]`, String(at), within);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function faultInObject(value: object, path: string, within: Set<object>): string | undefined {
  for (const [name, one] of Object.entries(value)) {
    const step = /^[\p{L}_$][\p{L}\d_$]*$/u.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`;
    const fault = faultAt(one, `${path}${step}`, name, within);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function isWeak(value: object): boolean {
  return value instanceof WeakMap || value instanceof WeakSet;
}
