/**
 * Returns a function that schedules `work` for the end of this turn of the event loop: once, however often you call it.
 * `atEndOfTurn` runs it when all that has arrived was read.
 */
export function onceATurn(
  work: () => void,
  atEndOfTurn: (turn: () => void) => void = setImmediate,
): () => void {
  let isPlanned = false;
  const turn = () => {
    isPlanned = false;
    work();
  };
  return () => {
    if (isPlanned) return;
    isPlanned = true;
    atEndOfTurn(turn);
  };
}
