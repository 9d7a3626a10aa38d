/**
 * The answers of one call with several of them, each as it comes. `ask` sends the call: it gives each answer but the
 * last to what it is handed, and resolves with the last. When the loop is left, the signal is aborted.
 */
export async function* answersAsTheyCome<T>(
  ask: (more: (answer: T) => void, signal: AbortSignal) => Promise<T>,
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
    yield await last;
  } finally {
    // A caller that stops listening before the end wants no more answers, and no lease.
    left.abort();
  }
}
