import { expect, it } from 'vitest';
import { namesThisMachine } from '../../../src/http/own-host.js';

it.each([
  [undefined, '127.0.0.1', true],
  ['localhost:1', '127.0.0.1', true],
  ['[::1]:1', '::1', true],
  ['127.1.2.3', 'localhost', true],
  ['evil.example:1', '127.0.0.1', false],
  ['127.0.0.1.evil.example', '127.0.0.1', false],
  ['[::2]', '::1', false],
  // At other addresses any name may be right: DNS, a load balancer, a Service.
  ['dibs.example', '0.0.0.0', true],
])('the header %s, at %s, names this machine: %s', (header, listen, names) => {
  expect(namesThisMachine(header, listen)).toBe(names);
});
