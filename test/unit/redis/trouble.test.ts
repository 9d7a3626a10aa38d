import { expect, it } from 'vitest';
import { isFaultOfScript, isForeignKey, throwTold, troubleOf } from '../../../src/redis/trouble.js';

const reply = (message: string) => Object.assign(new Error(message), { name: 'ReplyError' });

it.each([
  ['WRONGPASS invalid username-password pair or user is disabled.', /^wrong user or password; .*\(WRONGPASS/],
  ['NOAUTH Authentication required.', /^a password is needed/],
  ['MOVED 1234 10.0.0.1:7001', /^Redis is a cluster; use redis\+cluster:\/\/.*\(MOVED 10\.0\.0\.1:7001\)$/],
  ["READONLY You can't write against a read only replica.", /^Redis is a read-only replica; use/],
  [
    "OOM command not allowed when used memory > 'maxmemory'. script: 7d3f, on @user_script:12.",
    /full.*'maxmemory'\.\)$/,
  ],
  ["-NOPERM this user has no permissions to run the 'evalsha' command", /^the Redis user lacks rights/],
  ['ERR max number of clients reached', /raise its maxclients/],
  [
    "ERR unknown command 'AUTH', with args beginning with: 'secret' ",
    /renamed.*\(ERR unknown command 'AUTH'\)$/,
  ],
  [
    'All sentinels are unreachable and retry is disabled. Last error: NOAUTH Authentication required.',
    /set DIBS_SENTINEL_USERNAME and DIBS_SENTINEL_PASSWORD/,
  ],
  ['ERR something else', /^ERR something else$/],
])('%j is explained, with what to do', (message, said) => {
  expect(troubleOf(reply(message))).toMatch(said);
  expect(troubleOf(reply(message))).not.toMatch('secret');
});

it('a cluster is explained by the error of its last node, and a refused SELECT by its command', () => {
  const failed = Object.assign(new Error('Failed to refresh slots cache.'), {
    lastNodeError: reply('NOAUTH x'),
  });
  expect(troubleOf(failed)).toMatch(/^a password is needed/);
  const select = Object.assign(reply('NOPERM x'), { command: { name: 'select', args: ['3'] } });
  expect(troubleOf(select)).toMatch(/^SELECT failed: the Redis user lacks rights/);
});

it.each([
  [
    'WRONGTYPE Operation against a key holding the wrong kind of value script: a, on @user_script:3.',
    true,
    false,
  ],
  ['ERR Error running script (call to f_a): @user_script:3: WRONGTYPE Operation', true, false],
  ['ERR user_script:12: attempt to index a nil value script: a, on @user_script:12.', true, false],
  ['ERR hash value is not an integer script: a, on @user_script:12.', true, false],
  ['ERR Error compiling script (new function): user_script:3: unexpected symbol', false, true],
  ['MOVED 1 a:1', false, false],
  [
    "NOPERM this user has no permissions to run the 'hget' command script: a, on @user_script:3.",
    false,
    false,
  ],
  ["ERR unknown command 'evalsha'", false, false],
  ['NEWERROR of a later version', false, false],
])('%j is a foreign key: %s, a fault of a script: %s', (message, foreign, ours) => {
  expect([isForeignKey(message), isFaultOfScript(message)]).toEqual([foreign, ours]);
});

it('a refusal of Redis differs from a broken connection and from a missing script', () => {
  const told = (error: unknown) => {
    try {
      return throwTold(error);
    } catch (thrown) {
      return thrown;
    }
  };
  expect(told(reply('OOM x'))).toMatchObject({ name: 'Refused', message: expect.stringMatching('full') });
  expect(told(reply('NOSCRIPT x'))).toMatchObject({ name: 'Error' });
  expect(told(new Error('Connection is closed.'))).toMatchObject({ name: 'Error' });
});
