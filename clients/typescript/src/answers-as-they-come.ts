/**
 * The answers of a call with several of them, each as it comes. `ask` sends the call and passes each answer to the
 * function that it gets. It may resolve with the last one instead. The signal is aborted when the loop is left.
 */
export async function* answersAsTheyCome<T>(
  ask: (more: (answer: T) => void, signal: AbortSignal) => Promise<T | undefined>,
  signal: AbortSignal | undefined,
): AsyncGenerator<T> {
  const come: T[] = [];
  let arrived = () => {};
  let over = false;
  const left = new AbortController();
  const more = (answer: T) => {
    come.push(answer);
    arrived();
  };
  const last = ask(more, signal === undefined ? left.signal : AbortSignal.any([signal, left.signal]));
  const ended = () => {
    over = true;
    arrived();
  };
  last.then(ended, ended);
  try {
    for (;;) {
      yield* come.splice(0);
      if (over && come.length === 0) break;
      if (!over) {
        await new Promise<void>((resolve) => {
          arrived = resolve;
          if (come.length > 0 || over) resolve();
        });
      }
    }
    const answer = await last;
    if (answer !== undefined) yield answer;
  } finally {
    // A caller that stops listening before the end wants no more answers, and no lease.
    left.abort();
  }
}
