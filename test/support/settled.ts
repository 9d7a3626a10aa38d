const TURNS = 5;

/** Runs everything that needs no time: some turns of the event loop. A timer may be over before they have begun. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
