import { LightSignal, type SignalLike } from './light-signal.js';

/**
 * The answers of a call with several of them, each as it comes. `ask` sends the call and passes each answer to the
 * function that it gets. It may resolve with the last one instead. The signal is aborted when the loop is left.
 * `unwanted` gets the answers that have come by then, or come later, and were not taken: one may be a lease.
 */
export async function* answersAsTheyCome<T>(
  ask: (more: (answer: T) => void, signal: SignalLike) => Promise<T | undefined>,
  signal: SignalLike | undefined,
  unwanted: (answer: T) => void,
): AsyncGenerator<T> {
  const come: T[] = [];
  let arrived = () => {};
  let over = false;
  let isLastTaken = false;
  let last: Promise<T | undefined> | undefined;
  const left = new LightSignal();
  const more = (answer: T) => {
    if (left.aborted) return unwanted(answer);
    come.push(answer);
    arrived();
  };
  // Not AbortSignal.any, which keeps a trace of each call on a signal that lives longer.
  const leave = () => left.abort(signal?.reason);
  if (signal?.aborted) leave();
  else signal?.addEventListener('abort', leave, { once: true });
  const ended = () => {
    over = true;
    arrived();
  };
  try {
    last = ask(more, left);
    last.then(ended, ended);
    for (;;) {
      while (come.length > 0) yield come.shift() as T;
      if (over && come.length === 0) break;
      if (!over) {
        await new Promise<void>((resolve) => {
          arrived = resolve;
          if (come.length > 0 || over) resolve();
        });
      }
    }
    const answer = await last;
    isLastTaken = true;
    if (answer !== undefined) yield answer;
  } finally {
    // A caller that stops listening before the end wants no more answers, and no lease.
    signal?.removeEventListener('abort', leave);
    left.abort(undefined);
    for (const answer of come.splice(0)) unwanted(answer);
    const notTaken = (answer: T | undefined) => answer === undefined || isLastTaken || unwanted(answer);
    last?.then(notTaken, () => {});
  }
}
