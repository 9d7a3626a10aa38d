import { SystemClock } from '../../src/system-clock.js';

/** A replica's default connection timeouts. */
export const PATIENCE = { clock: new SystemClock(), silenceMs: 2_000 };
/** For suites about something else: replies may be slow on a busy machine. */
export const MUCH_PATIENCE = { ...PATIENCE, silenceMs: 20_000 };

/**
 * The environment of replicas whose suite is not about late servers: on a busy machine, Redis may get no CPU for
 * seconds. Leases of less than five seconds are refused.
 */
export const PATIENT_ENV = {
  DIBS_LEASE_MS: '30000',
  DIBS_LEASE_MIN_MS: '5000',
  DIBS_NODE_TIMEOUT_MS: '5000',
  DIBS_SILENCE_MS: '20000',
  DIBS_STORE_TIMEOUT_MS: '5000',
};
