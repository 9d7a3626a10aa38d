import { expect, it } from 'vitest';
import { isLoopback } from '../../../src/access/loopback.js';

it.each(['localhost', '::1', '127.0.0.1', '127.255.0.9'])(
  '%s is reachable from this machine only',
  (host) => {
    expect(isLoopback(host)).toBe(true);
  },
);

it.each(['', '0.0.0.0', '::', '10.0.0.1', '128.0.0.1', '127.0.0.1.example.com', 'localhost.example.com'])(
  '%j may be reachable from other machines',
  (host) => {
    expect(isLoopback(host)).toBe(false);
  },
);
