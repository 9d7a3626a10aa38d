import { AsyncLocalStorage } from 'node:async_hooks';
import { named } from './changes.js';
import { ReentrantRebuildError } from './errors.js';

/** A rebuild, of one key or several, that the current code runs in, and the one that this was asked from. */
interface Frame {
  readonly client: object;
  readonly namespace: string;
  readonly keys: ReadonlySet<string>;
  readonly outer: Frame | undefined;
  /** Not what it left behind, such as a timer, which may ask for its key as anything else may. */
  running: boolean;
}

const frames = new AsyncLocalStorage<Frame | undefined>();

/** The error of a call for a key that the calling code itself rebuilds, at once or by way of other keys. */
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
    ...{ client, namespace: named(namespace), keys: new Set(keys) },
    ...{ outer: frames.getStore(), running: true },
  };
  try {
    return await frames.run(frame, rebuild);
  } finally {
    frame.running = false;
  }
}
