import { afterEach } from 'vitest';
import { RedisServer } from './redis-server.js';

export interface Opened {
  /** Registers a function that runs after the test. */
  closes(end: () => unknown): void;
  /** Starts a server, and stops it after the test. */
  redis(...args: string[]): Promise<RedisServer>;
}

/** Resources that the tests of a suite open. After each test they are closed, the last one first. */
export function opened(): Opened {
  const closing: (() => unknown)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });
  return {
    closes: (end) => closing.push(end),
    redis: async (...args) => {
      const server = await RedisServer.start({ args });
      closing.push(() => server.stop());
      return server;
    },
  };
}
