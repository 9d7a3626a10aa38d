import { describe, expect, test } from 'vitest';
import { parseStoreUrl } from '../../../src/config/store-url.js';

describe('a store URL', () => {
  test.each([
    ['redis://localhost', { kind: 'single', host: 'localhost', port: 6379, db: 0, tls: false }],
    ['redis://10.0.0.1:7000/3', { kind: 'single', host: '10.0.0.1', port: 7000, db: 3, tls: false }],
    ['redis://[::1]:7000', { kind: 'single', host: '::1', port: 7000, db: 0, tls: false }],
    ['redis://h:65535/', { kind: 'single', host: 'h', port: 65535, db: 0, tls: false }],
    ['rediss://h:1', { kind: 'single', host: 'h', port: 1, db: 0, tls: true }],
    [
      'redis://me:p%40%2Fs%3As@h',
      { kind: 'single', host: 'h', port: 6379, db: 0, tls: false, username: 'me', password: 'p@/s:s' },
    ],
    ['redis://:secret@h', { kind: 'single', host: 'h', port: 6379, db: 0, tls: false, password: 'secret' }],
    [
      'redis+cluster://me:pw@h1:7000,h2',
      {
        kind: 'cluster',
        tls: false,
        nodes: [
          { host: 'h1', port: 7000 },
          { host: 'h2', port: 6379 },
        ],
        username: 'me',
        password: 'pw',
      },
    ],
    [
      'redis+sentinel://h1,h2:26380/my%20master',
      {
        kind: 'sentinel',
        tls: false,
        sentinels: [
          { host: 'h1', port: 26379 },
          { host: 'h2', port: 26380 },
        ],
        name: 'my master',
      },
    ],
    ['rediss+cluster://h', { kind: 'cluster', tls: true, nodes: [{ host: 'h', port: 6379 }] }],
    [
      'rediss+sentinel://:pw@h/m',
      {
        kind: 'sentinel',
        tls: true,
        sentinels: [{ host: 'h', port: 26379 }],
        name: 'm',
        password: 'pw',
      },
    ],
  ])('%s is read', (url, address) => {
    expect(parseStoreUrl(url)).toEqual(address);
  });

  test.each([
    ['', 'must be one of'],
    ['localhost:6379', 'must be one of'],
    ['http://h', 'must be one of'],
    ['redis://', 'must be one of'],
    ['redis://h/1/2', 'must be one of'],
    ['redis://h:0', 'host 1 is not HOST or HOST:PORT'],
    ['redis://h:65536', 'host 1 is not HOST or HOST:PORT'],
    ['redis://h:port', 'host 1 is not HOST or HOST:PORT'],
    ['redis://h1,h2', 'names one host'],
    ['redis://h/name', 'number of a database'],
    ['redis+cluster://h1,', 'host 2 is not HOST or HOST:PORT'],
    ['redis+cluster://h1/1', 'has no path'],
    ['redis://word@h', 'no colon; write USER:PASSWORD@, or :PASSWORD@'],
    ['redis+cluster://word@h1,h2', 'no colon'],
    ['redis://:50%@h', 'the password has a % without two hexadecimal digits; percent-encode it'],
    ['redis://50%:word@h', 'the user has a % without two hexadecimal digits; percent-encode it'],
    ['redis+sentinel://h1/50%', 'the name of the master has a %'],
    ['rediss+cluster://h1/1', 'a rediss+cluster URL has no path'],
    ['redisss://h1', 'must be one of'],
    ['redis+other://h1', 'must be one of'],
    ['redis+sentinel://h1', 'name of the master'],
    ['redis+sentinel://h1/', 'name of the master'],
  ])('%s is refused', (url, reason) => {
    expect(() => parseStoreUrl(url)).toThrow(reason);
  });

  test('is never repeated in an error, because it may contain a password', () => {
    for (const url of [
      'redis://me:secret@h:99999',
      'http://me:secret@h',
      'redis://me:secret@h/db',
      'redis://secret@h',
      'redis://me:secret%@h',
      'redis://:secret/more@h:1',
      'redis://me:se@secret@h',
    ]) {
      expect(() => parseStoreUrl(url)).toThrow(expect.not.stringContaining('secret'));
    }
  });
});
