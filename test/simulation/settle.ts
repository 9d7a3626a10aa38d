/** What Node itself does between two callbacks. It is there in every Node since long, and in no documentation. */
interface Ticking {
  readonly _tickCallback?: () => void;
}

const tick = (process as unknown as Ticking)._tickCallback;

/**
 * Settles all promises from within a callback of the event loop; never from within one of a promise. A turn
 * of the event loop does the same at several times the cost. Undefined where this Node does not have it.
 */
export const settle: (() => void) | undefined = tick?.bind(process);

/** Runs `what` in a callback of the event loop's own, from where {@link settle} works. */
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
