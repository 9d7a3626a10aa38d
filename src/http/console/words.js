// @ts-check
// The page's words: numbers, times, and labels for the service's names.

const WHOLE = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const TENTHS = new Intl.NumberFormat('en', { maximumFractionDigits: 1, minimumFractionDigits: 1 });

/** Shown for a missing value. */
export const NOTHING = '–';

/** @param {number} count */
export const whole = (count) => WHOLE.format(count);

/** @param {number} perSecond */
export const rate = (perSecond) => (perSecond >= 100 ? WHOLE : TENTHS).format(perSecond);

/** @param {number} part @param {number} of */
export const share = (part, of) => (of === 0 ? NOTHING : `${TENTHS.format((100 * part) / of)} %`);

/** @param {number} count @param {string} one @param {string} many */
export const counted = (count, one, many) => `${whole(count)} ${count === 1 ? one : many}`;

/** A duration to two or three digits. @param {number | undefined} ms */
export function duration(ms) {
  if (ms === undefined) return NOTHING;
  if (ms < 9.95) return `${TENTHS.format(ms)} ms`;
  if (ms < 999.5) return `${WHOLE.format(ms)} ms`;
  if (ms < 59_950) return `${TENTHS.format(ms / 1000)} s`;
  return longDuration(ms);
}

/** A long duration, to the second. @param {number} ms */
export function longDuration(ms) {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** @param {number} bytes */
export function size(bytes) {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let unit = 0;
  let left = bytes;
  while (left >= 1023.95 && unit < units.length - 1) {
    left /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? WHOLE.format(left) : TENTHS.format(left)} ${units[unit]}`;
}

/** The reader's local time. @param {number} atMs */
export const timeOfDay = (atMs) => new Date(atMs).toLocaleTimeString('en-GB');

/**
 * Foreign text, with invisible and direction-changing characters spelled out.
 * @param {string} text
 */
export const visible = (text) =>
  text.replaceAll(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );

/**
 * Whether a namespace and a key contain each of the words, in any order and case.
 * @param {{ readonly namespace: string, readonly key: string }} of @param {string} filter
 */
export function isAbout({ namespace, key }, filter) {
  const text = `${namespace} ${key}`.toLowerCase();
  return filter
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

/**
 * The page of a trace; empty if there is none, or the caller does not record it.
 * @param {string} template @param {string} traceparent
 */
export function traceUrl(template, traceparent) {
  const [, traceId, spanId, flags] =
    /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(traceparent) ?? [];
  const isRecorded = flags !== undefined && Number.parseInt(flags, 16) % 2 === 1;
  if (template === '' || traceId === undefined || spanId === undefined || !isRecorded) return '';
  return template.replaceAll('{trace_id}', traceId).replaceAll('{span_id}', spanId);
}

/** @type {Readonly<Record<string, string>>} */
const NAMES = {
  hit: 'hit, fresh',
  stale: 'hit, stale',
  failed: 'failed',
  wait_ended: 'busy: wait ended',
  deadline_too_short: 'busy: deadline too short',
  undecided: 'busy: undecided',
  budget: 'busy: budget used up',
  draining: 'busy: draining',
  no_value: 'busy: no value',
  published: 'published on another replica',
};

/** The label of a service's name. @param {string} name */
export const nameOf = (name) => NAMES[name] ?? name.replaceAll('_', ' ');

/** What ended a wait. @type {Readonly<Record<string, string>>} */
export const WAIT_ENDS = {
  publish: 'publish',
  lease: 'own lease',
  failure: 'failure',
  timeout: 'timeout',
  cancelled: 'caller left',
  drain: 'drain',
  error: 'error',
};

/** Attempts at leases have no winner. */
export const UNDECIDED = 'Undecided. No lease was granted for a while. The log says why.';

/** The levels of degradation. @type {Readonly<Record<string, { name: string, about: string }>>} */
export const LEVELS = {
  unknown: { name: 'Not known yet', about: 'This replica has decided nothing since its start.' },
  none: { name: 'Quorum and store', about: 'Both are available.' },
  quorum_lost: {
    name: 'Quorum lost',
    about: 'The value store alone grants leases.',
  },
  store_lost: {
    name: 'Store lost',
    about:
      'Leases hold across the fleet. A published value reaches the waiters of its replica and is not stored.',
  },
  local: {
    name: 'Quorum and store lost',
    about: 'Each replica runs one rebuild per key. A published value reaches its waiters and is not stored.',
  },
};
