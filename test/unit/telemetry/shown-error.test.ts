import { expect, it } from 'vitest';
import { createLogger } from '../../../src/telemetry/logger.js';

it('an error is shown with type, text, code, stack and causes, and without the fields of libraries', () => {
  const lines: string[] = [];
  const log = createLogger('debug', { write: (line) => lines.push(line) });
  const command = { name: 'auth', args: ['me', 'secret-password'] };
  const cause = Object.assign(new Error('WRONGPASS invalid'), { command, previousErrors: [{ command }] });
  cause.name = 'ReplyError';
  const err = Object.assign(new Error('no connection', { cause }), {
    code: 'ECONNREFUSED',
    headers: command,
  });
  log.debug({ err }, 'value store unreachable');
  expect(JSON.parse(lines[0] ?? '').err).toEqual({
    type: 'Error',
    message: 'no connection',
    code: 'ECONNREFUSED',
    stack: expect.stringMatching(/^ {4}at /),
    cause: { type: 'ReplyError', message: 'WRONGPASS invalid', stack: expect.any(String) },
  });
  log.debug({ err: { password: 'secret-password' } }, 'not an error');
  log.debug({ err: 'a text' }, 'a text');
  expect(lines.join('')).not.toMatch('secret');
  expect(lines[2]).toMatch('"err":"a text"');
});

it('an error that is its own cause is shown once', () => {
  const lines: string[] = [];
  const err = new Error('round');
  err.cause = err;
  createLogger('debug', { write: (line) => lines.push(line) }).error({ err }, 'round');
  expect(lines).toHaveLength(1);
});
