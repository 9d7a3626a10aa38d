import { CoordinationError } from '../coordination/words/errors.js';
import { type Key, keyOf } from '../coordination/words/key.js';
import type { Payload } from '../coordination/words/outcome.js';
import { BACKOFF_MS_MAX, type Limits, type Policy } from '../coordination/words/policy.js';
import type { Extend, GetOrLock, Invalidate, Publish, Release } from '../coordination/words/requests.js';
import type {
  ExplainRequest,
  ExtendRequest,
  GetOrLockManyRequest,
  GetOrLockRequest,
  InvalidateRequest,
  PublishRequest,
  ReleaseRequest,
  SessionHello,
} from './generated/dibs/v1/coordinator.js';
import { KnownKeys } from './known-keys.js';
import { type Decoded, NOT_UTF8 } from './strict-codec.js';
import { decodeToken } from './token.js';

/** What decoding needs in addition to the message: the configurable bounds, and a default. */
export interface Bounds {
  readonly limits: Limits;
  /** The default label of a holder. */
  readonly holder: string;
  policyOf(namespace: string): Policy;
}

const NAMESPACE_CHARACTERS_MAX = 64;
export const KEY_BYTES_MAX = 1024;
export const KEYS_MAX = 1000;
const TAG_BYTES_MAX = 256;
const TAGS_MAX = 16;
const REQUEST_ID_BYTES_MAX = 128;
const HOLDER_BYTES_MAX = 256;
const FAILURE_BYTES_MAX = 4096;
const WATCHED_MAX = 64;
const YEAR_MS = 31_536_000_000;
/** The most bytes that a character can have. So the bytes of a short text need not be counted. */
const CHARACTER_BYTES_MAX = 3;
const STALES = [undefined, 'allow', 'forbid'] as const;
const READS = [undefined, 'near', 'store'] as const;
const INTENTS = ['rebuild', 'rebuild', 'read', 'refresh'] as const;

const KEYS = new KnownKeys();

// Every function throws CoordinationError `invalid_argument`, with a text that begins with the field's path.

/** The message, unless it could not be decoded. */
export function messageOf<Message>(request: Decoded<Message>): Message {
  if (request.ok) return request.message;
  throw invalid(`request: its bytes cannot be decoded: ${request.fault}`);
}

export function decodeGetOrLock(wire: GetOrLockRequest, bounds: Bounds): GetOrLock {
  const key = keyIn(namespaceOf(wire.namespace), wire.key, 'key');
  return requestFor(key, optionsOf(wire, key.namespace, bounds));
}

/** The requests as if each were a GetOrLock. A repeated key is asked for once. */
export function decodeGetOrLockMany(wire: GetOrLockManyRequest, bounds: Bounds): [GetOrLock, ...GetOrLock[]] {
  const namespace = namespaceOf(wire.namespace);
  within('keys', wire.keys.length, 1, KEYS_MAX);
  const options = optionsOf(wire, namespace, bounds);
  const [first, ...others] = keysIn(namespace, wire.keys).map((key) => requestFor(key, options));
  return [first as GetOrLock, ...others];
}

export function decodePublish(wire: PublishRequest, { limits }: Bounds, identity: string): Publish {
  const key = keyIn(namespaceOf(wire.namespace), wire.key, 'key');
  return {
    key,
    token: decodeToken(identity, key, wellFormed('token', wire.token)),
    payload: payloadOf(wire.payload, limits.valueBytesMax),
    ttlMs: within('ttl_ms', wire.ttlMs, 1, YEAR_MS),
    staleMs: withinIfSet('stale_ms', wire.staleMs, 0, YEAR_MS),
    tags: tagsOf(wire.tags),
  };
}

export function decodeRelease(wire: ReleaseRequest, _bounds: Bounds, identity: string): Release {
  const key = keyIn(namespaceOf(wire.namespace), wire.key, 'key');
  return {
    key,
    token: decodeToken(identity, key, wellFormed('token', wire.token)),
    failure: wire.failure === undefined ? undefined : failureOf(wire.failure),
  };
}

export function decodeExtend(wire: ExtendRequest, bounds: Bounds, identity: string): Extend {
  const key = keyIn(namespaceOf(wire.namespace), wire.key, 'key');
  return {
    key,
    token: decodeToken(identity, key, wellFormed('token', wire.token)),
    leaseMs: leaseMsOf(wire.leaseMs, key.namespace, bounds),
  };
}

export function decodeInvalidate(wire: InvalidateRequest): Invalidate {
  const namespace = namespaceOf(wire.namespace);
  within('keys', wire.keys.length, 0, KEYS_MAX);
  const keys = keysIn(namespace, wire.keys);
  const tags = tagsOf(wire.tags);
  const mode = oneOf('mode', wire.mode, ['delete', 'delete', 'mark_stale'] as const);
  const named = keys.length + tags.length > 0;
  if (wire.all && named) throw invalid('all: with true, keys and tags must be empty');
  if (!wire.all && !named) throw invalid('keys: empty; set keys, tags or all');
  return { namespace, keys, tags, all: wire.all, mode };
}

export function decodeExplain(wire: ExplainRequest): Key {
  return keyIn(namespaceOf(wire.namespace), wire.key, 'key');
}

/** The first message of a session, with the bounds of its fields. */
export function decodeHello(wire: SessionHello): {
  readonly resumeToken: string;
  readonly holder: string;
  readonly watchedNamespaces: readonly string[];
} {
  within('hello.watched_namespaces', wire.watchedNamespaces.length, 0, WATCHED_MAX);
  return {
    // Garbage resumes nothing.
    resumeToken: wellFormed('hello.resume_token', wire.resumeToken),
    holder: text('hello.holder', wire.holder, 0, HOLDER_BYTES_MAX),
    watchedNamespaces: wire.watchedNamespaces.map((name, at) =>
      namespaceOf(wellFormed(`hello.watched_namespaces[${at}]`, name)),
    ),
  };
}

type Options = Pick<
  GetOrLockRequest,
  'waitMs' | 'leaseMs' | 'stale' | 'read' | 'requestId' | 'holder' | 'intent'
>;

function optionsOf(wire: Options, namespace: string, bounds: Bounds): Omit<GetOrLock, 'key'> {
  return {
    waitMs: withinIfSet('wait_ms', wire.waitMs, 0, bounds.limits.waitMsMax),
    leaseMs: leaseMsOf(wire.leaseMs, namespace, bounds),
    stale: oneOf('stale', wire.stale, STALES),
    read: oneOf('read', wire.read, READS),
    requestId: text('request_id', wire.requestId, 0, REQUEST_ID_BYTES_MAX),
    holder: text('holder', wire.holder, 0, HOLDER_BYTES_MAX) || bounds.holder,
    intent: oneOf('intent', wire.intent, INTENTS),
  };
}

/** A literal and no spread: every call goes by here, and a spread costs many times as much. */
function requestFor(key: Key, options: Omit<GetOrLock, 'key'>): GetOrLock {
  const { intent, waitMs, leaseMs, stale, read, requestId, holder } = options;
  return { key, intent, waitMs, leaseMs, stale, read, requestId, holder };
}

function leaseMsOf(leaseMs: number | undefined, namespace: string, bounds: Bounds): number | undefined {
  if (leaseMs === undefined) return undefined;
  const { leaseMsMin, leaseMsMax } = bounds.policyOf(namespace);
  return within('lease_ms', leaseMs, leaseMsMin, leaseMsMax);
}

function payloadOf(payload: PublishRequest['payload'], valueBytesMax: number): Payload {
  if (payload === undefined) throw invalid('payload: not set; set value or absent');
  if (payload.$case === 'absent') {
    if (!payload.value) throw invalid('absent: must be true if set');
    return { kind: 'absent' };
  }
  const { byteLength } = payload.value;
  if (byteLength > valueBytesMax) {
    const bound = `0 to ${valueBytesMax} (DIBS_VALUE_MAX_BYTES)`;
    throw new CoordinationError('exhausted', `value: ${byteLength} bytes is outside ${bound}`);
  }
  return { kind: 'value', bytes: payload.value };
}

function failureOf(wire: NonNullable<ReleaseRequest['failure']>): NonNullable<Release['failure']> {
  return {
    message: text('failure.message', wire.message, 0, FAILURE_BYTES_MAX),
    retryAfterMs: withinIfSet('failure.retry_after_ms', wire.retryAfterMs, 0, BACKOFF_MS_MAX),
  };
}

function tagsOf(wire: readonly string[]): string[] {
  within('tags', wire.length, 0, TAGS_MAX);
  return wire.map((tag, at) => text(`tags[${at}]`, tag, 1, TAG_BYTES_MAX));
}

function namespaceOf(wire: string): string {
  if (wire === '') return 'default';
  // Only ASCII is allowed, so bytes are characters. The text is not repeated, because it may have any length.
  if (wire.length > NAMESPACE_CHARACTERS_MAX || !/^[A-Za-z0-9_.-]+$/.test(wire)) {
    throw invalid(`namespace: is outside 0 to ${NAMESPACE_CHARACTERS_MAX} of [A-Za-z0-9_.-]`);
  }
  return wire;
}

function keyIn(namespace: string, wire: string, path: string): Key {
  return KEYS.of(namespace, wire) ?? KEYS.know(keyOf(namespace, text(path, wire, 1, KEY_BYTES_MAX)));
}

function keysIn(namespace: string, wire: readonly string[]): Key[] {
  const byId = new Map<string, Key>();
  for (const [at, key] of wire.entries()) {
    const decoded = keyIn(namespace, key, `keys[${at}]`);
    byId.set(decoded.id, decoded);
  }
  return [...byId.values()];
}

function text(path: string, value: string, bytesMin: number, bytesMax: number): string {
  wellFormed(path, value);
  if (value.length >= bytesMin && CHARACTER_BYTES_MAX * value.length <= bytesMax) return value;
  const bytes = Buffer.byteLength(value, 'utf8');
  if (bytes < bytesMin || bytes > bytesMax) {
    throw invalid(`${path}: ${bytes} bytes is outside ${bytesMin} to ${bytesMax}`);
  }
  return value;
}

function wellFormed(path: string, value: string): string {
  if (value === NOT_UTF8) throw invalid(`${path}: its bytes are not valid UTF-8`);
  return value;
}

function withinIfSet(path: string, value: number | undefined, min: number, max: number): number | undefined {
  return value === undefined ? undefined : within(path, value, min, max);
}

/** NaN means a number beyond 2^53, and is outside every bound. */
function within(path: string, value: number, min: number, max: number): number {
  if (value >= min && value <= max) return value;
  throw invalid(`${path}: ${Number.isNaN(value) ? 'beyond 2^53, which' : value} is outside ${min} to ${max}`);
}

/** `names[n]` is what the enum's number `n` means. */
function oneOf<const Names extends readonly (string | undefined)[]>(
  path: string,
  value: number,
  names: Names,
): Names[number] {
  return names[within(path, value, 0, names.length - 1)];
}

export function invalid(message: string): CoordinationError {
  return new CoordinationError('invalid_argument', message);
}
