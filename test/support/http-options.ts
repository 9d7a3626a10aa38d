import { SystemClock } from '../../src/system-clock.js';

/** The HTTP server's options on a free port, for suites about something else. */
export const HTTP_OPTIONS = {
  host: '127.0.0.1',
  port: 0,
  clock: new SystemClock(),
  connectionsMax: 1_000,
  connectionRefused: () => {},
  ready: () => true,
  started: () => true,
  scrape: async () => '',
  consoleState: () => undefined,
};
