/** A server of pages on a free port, for anything besides what a suite is about. */
export const HTTP_OPTIONS = {
  host: '127.0.0.1',
  port: 0,
  connectionsMax: 1_000,
  connectionRefused: () => {},
  ready: () => true,
  started: () => true,
  scrape: async () => '',
  consoleState: () => undefined,
};
