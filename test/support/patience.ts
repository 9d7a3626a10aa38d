import { SystemClock } from '../../src/system-clock.js';

/** A replica's default connection timeouts. */
export const PATIENCE = { clock: new SystemClock(), silenceMs: 2_000 };
/** For suites about something else: replies may be slow on a busy machine. */
export const MUCH_PATIENCE = { ...PATIENCE, silenceMs: 20_000 };
