import { mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { countAddresses } from '../src/addresses.js';
import { DibsClient } from '../src/client.js';
import { DibsError } from '../src/errors.js';
import { NoSession } from '../src/no-session.js';
import { connectionOptions, type RebuildContext } from '../src/options.js';
import { afterRunning } from '../src/running-time.js';
import { SessionOrUnary } from '../src/session-or-unary.js';
import { checkTarget, staysHere } from '../src/target.js';
import { tokenSource } from '../src/token.js';
import type { Transport } from '../src/transport.js';
import { bytes, deferred, freshKey, raw, Service } from './service.js';

const ttlMs = 60_000;
const dir = mkdtempSync(join(tmpdir(), 'dibs-client-'));
afterAll(() => rmSync(dir, { recursive: true }));

describe('a target', () => {
  it.each([
    'localhost:50051',
    '127.0.0.1:1',
    '[::1]:65535',
    'dns:///dibs.internal:50051',
    'dns:///dibs.internal',
    'dns:dibs.internal:50051',
    'dns://1.1.1.1/dibs:50051',
    'ipv4:10.0.0.1:50051,10.0.0.2:50051',
    'dibs-0.internal:50051,10.0.0.2:1,[::1]:65535',
    'ipv6:[::1]:50051',
    'unix:///run/dibs.sock',
    'unix:relative.sock',
  ])('can be %s', (target) => expect(() => checkTarget(target)).not.toThrow());

  it.each([
    'localhost',
    'localhost:',
    'localhost:port',
    'localhost:70000',
    ':50051',
    'http://localhost:50051',
    'dns:///',
    'ipv4:localhost:50051',
    'ipv4:10.0.0.1:50051,',
    'a:1,',
    ',a:1',
    'a:1,b',
    'a:1,b:0',
    'a:1,b:65536',
    'a:1, b:2',
    'unix:',
    '[::1:50051',
    'two words:1',
  ])('cannot be %s', (target) => {
    expect(() => new DibsClient({ target })).toThrow(/^target: .* is not one of HOST:PORT/);
  });

  it.each([
    ['localhost:1', true],
    ['127.1.2.3:1', true],
    ['[::1]:1', true],
    ['dns:///localhost:1', true],
    ['ipv4:127.0.0.1:1,127.0.0.2:1', true],
    ['unix:///run/dibs.sock', true],
    ['localhost:1,127.0.0.1:2', true],
    ['localhost:1,10.0.0.1:1', false],
    ['10.0.0.1:1', false],
    ['dibs.internal:1', false],
    ['127.0.0.1.example:1', false],
    // A name server may say anything of it.
    ['dibs.localhost:1', false],
    ['ipv4:127.0.0.1:1,10.0.0.1:1', false],
  ])('%s stays on this machine: %s', (target, stays) => expect(staysHere(target)).toBe(stays));
});

describe('a token', () => {
  const secret = 'a-secret-of-mine';

  it('is not sent in clear to another machine, unless the caller allows it', () => {
    // Not every name that begins with `unix` is a socket.
    for (const target of ['192.0.2.1:50051', 'unix-1.example.com:50051', 'unixes:50051']) {
      expect(() => new DibsClient({ target, token: secret })).toThrow(/^token: would be sent unencrypted/);
      expect(() => new DibsClient({ target, token: () => secret })).toThrow(
        /^token: would be sent unencrypted/,
      );
      new DibsClient({ target, token: secret, allowInsecureToken: true }).close();
    }
    new DibsClient({ target: 'unix:///run/dibs.sock', token: secret }).close();
  });

  it('does not appear in a printed client or error', () => {
    const client = new DibsClient({ token: secret });
    expect(inspect(client, { depth: 20, showHidden: true })).not.toContain(secret);
    expect(JSON.stringify(client)).not.toContain(secret);
    client.close();
    for (const wrong of [`${secret}\n`, `${secret} ü`]) {
      const error = (() => {
        try {
          return new DibsClient({ token: wrong });
        } catch (thrown) {
          return thrown;
        }
      })();
      expect(error).toBeInstanceOf(DibsError);
      expect(inspect(error)).not.toContain(secret);
    }
  });

  it('comes from a file, and is read again when the file changes', async () => {
    const tokenFile = join(dir, 'token');
    writeFileSync(tokenFile, 'one\n');
    const token = tokenSource({ tokenFile });
    expect(token()).toBe('one');
    writeFileSync(tokenFile, 'another\n');
    await vi.waitFor(() => expect(token()).toBe('another'));
    writeFileSync(tokenFile, '');
    await new Promise((resolve) => setTimeout(resolve, 520));
    expect(token()).toBe('another');
    unlinkSync(tokenFile);
    await new Promise((resolve) => setTimeout(resolve, 520));
    expect(token()).toBe('another');
    expect(() => tokenSource({ tokenFile: join(dir, 'none') })()).toThrow(/^tokenFile: .* cannot be read/);
  });

  it('comes from the options, otherwise from the environment', () => {
    const env = { DIBS_TOKEN: '', DIBS_TOKEN_FILE: '/etc/token' };
    const from = (options: object, more: object = {}) => {
      const { token, tokenFile } = {
        tokenFile: undefined,
        ...connectionOptions(options, { ...env, ...more }),
      };
      return [token, tokenFile];
    };
    expect(from({})).toEqual(['', '/etc/token']);
    expect(from({}, { DIBS_TOKEN: 'known' })).toEqual(['known', undefined]);
    expect(from({ token: 'mine' })).toEqual(['mine', undefined]);
    expect(from({ token: '' })).toEqual(['', undefined]);
    expect(from({ tokenFile: 'mine' }, { DIBS_TOKEN: 'known' })).toEqual(['', 'mine']);
    expect(from({}, { DIBS_TOKEN_FILE: '' })).toEqual(['', undefined]);
  });

  it('from a file that is still empty is not sent in clear either', () => {
    const tokenFile = join(dir, 'empty-token');
    writeFileSync(tokenFile, '');
    expect(() => new DibsClient({ target: '192.0.2.1:50051', tokenFile })).toThrow(
      /^token: would be sent unencrypted/,
    );
  });

  it('comes from a function, and its failure is an error of the call', () => {
    let now = 'one';
    const token = tokenSource({ token: () => now });
    expect(token()).toBe('one');
    now = 'two';
    expect(token()).toBe('two');
    const failing = tokenSource({
      token: () => {
        throw new Error(secret);
      },
    });
    expect(failing).toThrow('token: the function failed');
  });

  it('needs TLS files that exist, and certificate and key together', () => {
    expect(() => new DibsClient({ tlsCert: 'cert.pem' })).toThrow(/^tlsCert, tlsKey: one needs the other/);
    expect(() => new DibsClient({ tlsCa: join(dir, 'none.pem') })).toThrow(/^tlsCa: .* cannot be read/);
  });
});

describe('time that counts while this process runs', () => {
  afterEach(() => vi.useRealTimers());

  it('ends after that time, and not because the process was stalled', async () => {
    const over = vi.fn();
    const startMs = performance.now();
    afterRunning(400, over);
    // A computation that takes all of it.
    while (performance.now() - startMs < 600);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(over).not.toHaveBeenCalled();
    await vi.waitFor(() => expect(over).toHaveBeenCalledTimes(1));
  });

  it('can be cancelled', async () => {
    const over = vi.fn();
    afterRunning(10, over)();
    await new Promise((resolve) => setTimeout(resolve, 40));
    expect(over).not.toHaveBeenCalled();
  });
});

describe('calls one by one', () => {
  it('are replaced by a session as soon as one can be opened in the background', async () => {
    vi.useFakeTimers();
    const cause = new NoSession('none');
    const none = () => Promise.reject(new DibsError('UNAVAILABLE', 'none', undefined, { cause }));
    const session = { explain: vi.fn(none), ready: vi.fn(none), close: vi.fn() };
    const unary = { explain: vi.fn(async () => 'unary'), ready: vi.fn(), close: vi.fn() };
    const either = new SessionOrUnary(session as never, unary as never);
    const ask = () => either.explain({} as never, {} as never) as Promise<unknown>;
    expect(await ask()).toBe('unary');
    expect(await ask()).toBe('unary');
    expect(session.explain).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(session.ready).toHaveBeenCalledTimes(1);
    expect(await ask()).toBe('unary');
    session.ready.mockImplementation(async () => undefined as never);
    session.explain.mockImplementation(async () => 'session' as never);
    await vi.advanceTimersByTimeAsync(4_000);
    expect(session.ready).toHaveBeenCalledTimes(2);
    expect(await ask()).toBe('session');
    either.close();
    vi.useRealTimers();
  });
});

describe('a client', () => {
  let service: Service;
  beforeAll(async () => {
    service = await Service.start({ DIBS_LISTEN: `127.0.0.1:0,unix://${join(dir, 'dibs.sock')}` });
  });
  afterAll(() => service.stop());

  it.each([true, false])('is ready when its first connection is open, with sessions: %s', async (session) => {
    await service.client({ session }).ready();
    const nowhere = new DibsClient({ target: '127.0.0.1:1', session });
    await expect(nowhere.ready({ timeoutMs: 100 })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    nowhere.close();
  });

  it.each([true, false])('skips a name that cannot be resolved, with sessions: %s', async (session) => {
    const target = `nowhere.invalid:1,${service.target.replace('127.0.0.1', 'localhost')}`;
    expect(await countAddresses('127.0.0.1:1,[::1]:2,ipv4.invalid:3')).toBe(3);
    const client = new DibsClient({ target, session, onUnavailable: 'fail' });
    expect(await client.getOrRebuild(freshKey(), () => 'v', { ttlMs })).toBe('v');
    client.close();
    const none = new DibsClient({
      target: 'nowhere.invalid:1,nowhere.invalid:2',
      session,
      onUnavailable: 'fail',
    });
    await expect(none.getOrRebuild(freshKey(), () => 'v', { ttlMs })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    none.close();
  });

  it('reaches a service over a Unix socket', async () => {
    const client = new DibsClient({ target: `unix://${join(dir, 'dibs.sock')}`, token: 'any' });
    const key = freshKey();
    await client.getOrRebuild(key, () => bytes('v'), { codec: raw, ttlMs });
    expect(
      String(await service.client().getOrRebuild(key, () => bytes('other'), { codec: raw, ttlMs })),
    ).toBe('v');
    client.close();
  });

  it('flushes its background work, for at most the given time', async () => {
    const client = service.client();
    const key = freshKey();
    expect(await client.flush()).toBe(true);
    await client.getOrRebuild(key, () => bytes('old'), { codec: raw, ttlMs: 1, staleMs: 60_000 });
    await new Promise((resolve) => setTimeout(resolve, 5));
    const gate = deferred<Buffer>();
    expect(String(await client.getOrRebuild(key, () => gate.promise, { codec: raw, ttlMs }))).toBe('old');
    expect(await client.flush({ timeoutMs: 20 })).toBe(false);
    const flushed = client.flush();
    gate.resolve(bytes('new'));
    expect(await flushed).toBe(true);
    expect((await client.explain({ key })).value).toMatchObject({ sizeBytes: 3, freshness: 'fresh' });
  });
});

describe('without the service', () => {
  const down = () => Promise.reject(new DibsError('UNAVAILABLE', 'connection refused'));
  let warnings: string[];
  const warned = (warning: Error) => {
    if (warning.name === 'DibsWarning') warnings.push((warning as Error & { code: string }).code);
  };
  afterEach(() => void process.off('warning', warned));

  it('a value serves the next callers for a short time, and is dropped when the service is back', async () => {
    warnings = [];
    process.on('warning', warned);
    const isDown = { now: true };
    const hit = { degraded: 1, outcome: { $case: 'hit', value: { payload: undefined } } };
    const transport = {
      getOrLock: async () => (isDown.now ? down() : hit),
      invalidate: down,
      close: () => {},
    } as unknown as Transport;
    const client = new DibsClient({ transport });
    let made = 0;
    const get = (options: object = {}) =>
      client.getOrRebuild('k', () => bytes(`v${++made}`), { codec: raw, ttlMs, ...options }).then(String);
    expect(await get()).toBe('v1');
    expect(await Promise.all([get(), get({ stale: 'forbid' })])).toEqual(['v1', 'v1']);
    expect(await get({ refresh: true })).toBe('v2');
    expect(await get()).toBe('v2');
    await client.invalidate({ tags: ['any'] }).catch(() => {});
    expect(await get()).toBe('v3');
    await new Promise(setImmediate);
    expect(warnings).toEqual(['DIBS_UNREACHABLE']);
    isDown.now = false;
    expect(await get()).toBe('null');
    isDown.now = true;
    expect(await get()).toBe('v4');
    await new Promise(setImmediate);
    expect(warnings).toEqual(['DIBS_UNREACHABLE', 'DIBS_REACHABLE', 'DIBS_UNREACHABLE']);
  });

  it('a value serves no longer than its TTL, and not at all with doNotStore', async () => {
    const client = new DibsClient({
      transport: { getOrLock: down, close: () => {} } as unknown as Transport,
    });
    let made = 0;
    const get = (options: object = {}) =>
      client.getOrRebuild('k', () => bytes(`v${++made}`), { codec: raw, ttlMs: 1, ...options }).then(String);
    expect(await get()).toBe('v1');
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(await get()).toBe('v2');
    const rebuild = ({ doNotStore }: RebuildContext) => {
      doNotStore();
      return bytes(`v${++made}`);
    };
    const unkept = () => client.getOrRebuild('other', rebuild, { codec: raw, ttlMs });
    expect([String(await unkept()), String(await unkept())]).toEqual(['v3', 'v4']);
  });
});
