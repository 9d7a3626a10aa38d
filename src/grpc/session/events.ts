import type { Invalidated, SessionEvent } from '../generated/dibs/v1/coordinator.js';

type Event = NonNullable<SessionEvent['event']>;

/** What a session has not been sent yet about one namespace. More names than this are sent as "anything may have changed". */
const NAMES_BYTES_MAX = 65_536;
/** One message has at most this, so that every client accepts it. */
const MESSAGE_BYTES_MAX = 1_048_576;
/** An event without its names, or with a namespace, a key and a token. */
const EVENT_BYTES = 64;

/**
 * The events that wait for a session, in order. Changes of one namespace become one event, and beyond a bound `all`. So
 * a client that does not read costs a bounded amount.
 */
export class Events {
  readonly #waiting = new Map<string | object, { event: Event; bytes: number }>();

  get size(): number {
    return this.#waiting.size;
  }

  add(event: Event): void {
    if (event.$case === 'invalidated') this.#invalidated(event.value);
    else if (event.$case === 'beat') {
      // One beat says as much as many. It vouches for all events before it, so it stays behind them.
      this.#waiting.delete('beat');
      this.#waiting.set('beat', { event, bytes: EVENT_BYTES });
    } else this.#waiting.set(event, { event, bytes: EVENT_BYTES + bytesOf(event) });
  }

  /** As many as one message may have, and at least one if there is one. */
  take(): SessionEvent[] {
    const taken: SessionEvent[] = [];
    let bytes = 0;
    for (const [key, one] of this.#waiting) {
      bytes += one.bytes;
      if (taken.length > 0 && bytes > MESSAGE_BYTES_MAX) break;
      this.#waiting.delete(key);
      taken.push({ event: one.event });
    }
    return taken;
  }

  #invalidated(value: Invalidated): void {
    const { namespace } = value;
    const key = `namespace ${namespace}`;
    const known = this.#waiting.get(key);
    const before = known?.event.$case === 'invalidated' ? known.event.value : undefined;
    const names = [...value.keys, ...value.tags];
    const bytes = names.reduce((sum, name) => sum + name.length * 3 + 4, known?.bytes ?? EVENT_BYTES);
    const all = value.all || before?.all === true || bytes > NAMES_BYTES_MAX;
    if (all || before === undefined) {
      const told = all ? { namespace, keys: [], tags: [], all } : value;
      this.#waiting.set(key, {
        event: { $case: 'invalidated', value: told },
        bytes: all ? EVENT_BYTES : bytes,
      });
      return;
    }
    before.keys.push(...value.keys);
    before.tags.push(...value.tags);
    this.#waiting.set(key, { event: { $case: 'invalidated', value: before }, bytes });
  }
}

function bytesOf(event: Event): number {
  if (event.$case !== 'leaseLost') return 0;
  return event.value.key.length * 3 + event.value.token.length;
}
