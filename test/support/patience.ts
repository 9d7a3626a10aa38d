import { SystemClock } from '../../src/system-clock.js';

/** How a connection of a replica waits by default. */
export const PATIENCE = { clock: new SystemClock(), silenceMs: 2_000 };
/** For suites about something else: on a busy machine a reply may take long. */
export const MUCH_PATIENCE = { ...PATIENCE, silenceMs: 20_000 };
