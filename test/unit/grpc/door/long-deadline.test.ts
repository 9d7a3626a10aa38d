import type { IncomingHttpHeaders } from 'node:http2';
import { expect, it } from 'vitest';
import { shortenDeadline } from '../../../../src/grpc/door/long-deadline.js';

const of = (timeout?: string) => {
  const headers: IncomingHttpHeaders = timeout === undefined ? {} : { 'grpc-timeout': timeout };
  shortenDeadline(headers);
  return headers['grpc-timeout'];
};

it.each(['99999999H', '597H', '35792M', '2147484S', '99999999S'])('%s becomes 24 days', (timeout) => {
  expect(of(timeout)).toBe('2147483S');
});

it.each([
  undefined,
  '596H',
  '35791M',
  '2147483S',
  '99999999m',
  '99999999n',
  '0S',
  '1',
  '-1S',
  'garbage',
  '999999999S',
])('%s stays as it is', (timeout) => {
  expect(of(timeout)).toBe(timeout);
});
