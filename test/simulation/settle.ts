/** What Node runs between two callbacks. It has long been in every Node, but in no documentation. */
interface Ticking {
  readonly _tickCallback?: () => void;
}

const tick = (process as unknown as Ticking)._tickCallback;

/**
 * Settles all promises inside a callback of the event loop; never call it inside a promise's callback. A turn of the
 * event loop does the same at several times the cost. Undefined if this Node does not have it.
 */
export const settle: (() => void) | undefined = tick?.bind(process);

/** Runs `what` in a new callback of the event loop, where {@link settle} works. */
export function inCallback<T>(what: () => T): Promise<T> {
  return new Promise((resolve, reject) => {
    setImmediate(() => {
      try {
        resolve(what());
      } catch (error) {
        reject(error as Error);
      }
    });
  });
}
