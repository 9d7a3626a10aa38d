import { AsyncLocalStorage } from 'node:async_hooks';
import { named } from './changes.js';
import { ReentrantRebuildError } from './errors.js';

/** A rebuild of one key or several that the current code runs in, and the rebuild around it. */
interface Frame {
  readonly client: object;
  readonly namespace: string;
  readonly keys: ReadonlySet<string>;
  readonly outer: Frame | undefined;
  /** False for code that it left behind, such as a timer, which may ask for its key like any other code. */
  running: boolean;
}

/**
 * While it is on, it slows every promise of the process, by about an eighth of a hit. So it is off unless a rebuild
 * runs or has run recently.
 */
const frames = new AsyncLocalStorage<Frame | undefined>();
/** Turning it on and off costs more than many promises. */
const OFF_AFTER_MS = 1_000;
let running = 0;
let isEnding = false;

/** The error of a call for a key that the calling code itself rebuilds, directly or through other keys. */
export function reentrant(client: object, namespace: string, key: string): ReentrantRebuildError | undefined {
  for (let frame = frames.getStore(); frame !== undefined; frame = frame.outer) {
    if (
      frame.running &&
      frame.client === client &&
      frame.keys.has(key) &&
      frame.namespace === named(namespace)
    ) {
      return new ReentrantRebuildError(key);
    }
  }
  return undefined;
}

/** Runs a rebuild of these keys so that {@link reentrant} sees it. */
export async function asRebuildOf<T>(
  client: object,
  namespace: string,
  keys: readonly string[],
  rebuild: () => Promise<T> | T,
): Promise<T> {
  const frame: Frame = {
    client,
    namespace: named(namespace),
    keys: new Set(keys),
    outer: frames.getStore(),
    running: true,
  };
  running += 1;
  try {
    return await frames.run(frame, rebuild);
  } finally {
    frame.running = false;
    running -= 1;
    if (running === 0) offSoon();
  }
}

function offSoon(): void {
  if (isEnding) return;
  isEnding = true;
  setTimeout(() => {
    isEnding = false;
    if (running === 0) frames.disable();
  }, OFF_AFTER_MS).unref();
}
