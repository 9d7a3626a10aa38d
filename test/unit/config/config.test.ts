import { describe, expect, it } from 'vitest';
import { type Config, loadConfig } from '../../../src/config/config.js';
import type { Environment } from '../../../src/config/environment-reader.js';
import { parseStoreUrl } from '../../../src/config/store-url.js';
import { fault, faults } from '../../support/config-faults.js';

const nodes = (count: number) => Array.from({ length: count }, (_, at) => `redis://n${at}:7000`).join(',');
const inFleet = { DIBS_QUORUM_NODES: nodes(5), DIBS_STORE_URL: 'redis://store:6379' };

describe('DIBS_WORKERS', () => {
  const withWorkers = (workers: string, env: Environment = {}) => ({
    ...inFleet,
    DIBS_WORKERS: workers,
    ...env,
  });

  it('is 1 to 64', () => {
    for (const workers of ['1', '64']) expect(loadConfig(withWorkers(workers)).workers).toBe(Number(workers));
    for (const workers of ['0', '65', 'auto', '1.5']) {
      expect(fault(withWorkers(workers))).toBe(
        `DIBS_WORKERS: '${workers}' is not a whole number within 1 to 64`,
      );
    }
  });

  it('above 1 needs a shared store', () => {
    expect(loadConfig({ DIBS_WORKERS: '1' }).workers).toBe(1);
    expect(fault({ DIBS_WORKERS: '2' })).toBe(
      'DIBS_WORKERS: is 2, and in embedded mode each worker would have a store of its own; set DIBS_QUORUM_NODES and DIBS_STORE_URL, or DIBS_WORKERS=1',
    );
  });

  it.each([
    ['DIBS_CONNECTIONS', 2],
    ['DIBS_WAITERS_PER_KEY', 2],
    ['DIBS_UNSENT_BYTES', 2 * 1_048_576],
  ])('divides %s, and each worker must get a share', (name, min) => {
    expect(loadConfig(withWorkers('2', { [name]: String(min) })).workers).toBe(2);
    expect(fault(withWorkers('2', { [name]: String(min - 1) }))).toMatch(
      `${name}: '${min - 1}' is not a whole number`,
    );
  });
});

describe('the default configuration', () => {
  it('is that of an embedded replica', () => {
    expect(loadConfig({})).toEqual({
      grpcListen: ['127.0.0.1:50051'],
      grpcIsRemote: false,
      httpListen: { host: '127.0.0.1', port: 9464 },
      httpIsPrivate: true,
      traceUrl: '',
      nodeTimeoutMs: 100,
      limits: {
        leaseMs: 10_000,
        leaseMsMin: 100,
        leaseMsMax: 60_000,
        waitMsMax: 30_000,
        valueBytesMax: 1_048_576,
        waitersPerKeyMax: 20_000,
        waitersMax: 200_000,
        storeTimeoutMs: 300,
        silenceMs: 2_000,
      },
      nearCacheBytes: 67_108_864,
      wakeValueBytesMax: 1_024,
      sessionGraceMs: 0,
      connectionAgeMs: 600_000,
      connectionsMax: 10_000,
      unsentBytesMax: 134_217_728,
      compressedRequests: false,
      policies: new Map(),
      policy: expect.objectContaining({ stale: 'allow', onLoss: 'degrade', leaseMsMin: 100 }),
      logLevel: 'info',
      otel: {},
      workers: 1,
      suspicions: {
        unknownVariables: [],
        embeddedBeyondLoopback: false,
        otlpMismatches: [],
        certificatesWithoutAuthority: false,
      },
    });
  });

  it('also applies to empty variables and those of other programs', () => {
    expect(loadConfig({ DIBS_LISTEN: '', DIBS_STORE_URL: ' ', DIBS_SERVICE_HOST: '10.0.0.1' })).toEqual(
      loadConfig({}),
    );
  });

  it('is frozen', () => {
    const config = loadConfig({}) as { nodeTimeoutMs: number; limits: { leaseMs: number } };
    expect(() => {
      config.nodeTimeoutMs = 1;
    }).toThrow(TypeError);
    expect(() => {
      config.limits.leaseMs = 1;
    }).toThrow(TypeError);
  });
});

interface NumberRow {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  read(config: Config): number;
  readonly env?: Environment;
}
const numbers: NumberRow[] = [
  { name: 'DIBS_LEASE_MS', min: 100, max: 60_000, read: ({ limits }) => limits.leaseMs },
  { name: 'DIBS_LEASE_MIN_MS', min: 10, max: 60_000, read: ({ limits }) => limits.leaseMsMin },
  { name: 'DIBS_LEASE_MAX_MS', min: 10, max: 3_600_000, read: ({ limits }) => limits.leaseMsMax },
  { name: 'DIBS_NODE_TIMEOUT_MS', min: 1, max: 100, read: ({ nodeTimeoutMs }) => nodeTimeoutMs },
  {
    name: 'DIBS_NODE_TIMEOUT_MS',
    min: 1,
    max: 200,
    read: ({ nodeTimeoutMs }) => nodeTimeoutMs,
    env: { DIBS_LEASE_MS: '1000', DIBS_LEASE_MIN_MS: '500' },
  },
  { name: 'DIBS_SILENCE_MS', min: 200, max: 60_000, read: ({ limits }) => limits.silenceMs },
  { name: 'DIBS_STORE_TIMEOUT_MS', min: 10, max: 2_000, read: ({ limits }) => limits.storeTimeoutMs },
  {
    name: 'DIBS_STORE_TIMEOUT_MS',
    min: 10,
    max: 250,
    read: ({ limits }) => limits.storeTimeoutMs,
    env: { DIBS_SILENCE_MS: '250' },
  },
  { name: 'DIBS_WAIT_MAX_MS', min: 0, max: 3_600_000, read: ({ limits }) => limits.waitMsMax },
  { name: 'DIBS_VALUE_MAX_BYTES', min: 1, max: 8_388_608, read: ({ limits }) => limits.valueBytesMax },
  { name: 'DIBS_NEAR_CACHE_BYTES', min: 0, max: 2 ** 40, read: ({ nearCacheBytes }) => nearCacheBytes },
  { name: 'DIBS_WAKE_VALUE_BYTES', min: 0, max: 16_384, read: ({ wakeValueBytesMax }) => wakeValueBytesMax },
  { name: 'DIBS_WAITERS_PER_KEY', min: 1, max: 200_000, read: ({ limits }) => limits.waitersPerKeyMax },
  { name: 'DIBS_WAITERS', min: 1, max: 10_000_000, read: ({ limits }) => limits.waitersMax },
  { name: 'DIBS_UNSENT_BYTES', min: 1_048_576, max: 2 ** 40, read: ({ unsentBytesMax }) => unsentBytesMax },
  { name: 'DIBS_CONNECTIONS', min: 1, max: 1_000_000, read: ({ connectionsMax }) => connectionsMax },
  {
    name: 'DIBS_CONNECTION_AGE_MS',
    min: 1_000,
    max: 86_400_000,
    read: ({ connectionAgeMs }) => connectionAgeMs,
  },
  { name: 'DIBS_SESSION_GRACE_MS', min: 0, max: 3_600_000, read: ({ sessionGraceMs }) => sessionGraceMs },
];

describe.each(numbers)('$name within $min to $max', ({ name, min, max, read, env = {} }) => {
  it('accepts both bounds', () => {
    for (const good of [min, max]) expect(read(loadConfig({ ...env, [name]: String(good) }))).toBe(good);
  });

  it.each([min - 1, max + 1, min + 0.5, `${min}ms`, '1e3', '0x10', 'ten', '9'.repeat(30)])(
    'refuses %s',
    (bad) => {
      const refusal = `${name}: '${bad}' is not a whole number within ${min} to ${max}`;
      expect(fault({ ...env, [name]: String(bad) })).toBe(refusal);
    },
  );
});

describe('a default', () => {
  it('is adapted to the bounds that are set', () => {
    const { limits, nodeTimeoutMs } = loadConfig({ DIBS_LEASE_MAX_MS: '50', DIBS_WAITERS: '7' });
    expect(limits).toMatchObject({ leaseMs: 50, leaseMsMin: 50, leaseMsMax: 50, waitersPerKeyMax: 7 });
    expect(nodeTimeoutMs).toBe(10);
    expect(loadConfig({ DIBS_LEASE_MIN_MS: '20000' }).limits.leaseMs).toBe(20_000);
  });

  it('does not hide a contradiction', () => {
    const env = { DIBS_LEASE_MAX_MS: '50', DIBS_LEASE_MIN_MS: '51' };
    expect(fault(env)).toBe("DIBS_LEASE_MIN_MS: '51' is not a whole number within 10 to 50");
    expect(fault({ DIBS_WAITERS: '7', DIBS_WAITERS_PER_KEY: '8' })).toMatch('DIBS_WAITERS_PER_KEY');
  });
});

describe('DIBS_LISTEN', () => {
  it.each([
    '127.0.0.1:0',
    '127.9.9.9:65535',
    'localhost:50051',
    '[::1]:50051',
    'unix:///run/dibs.sock',
    '127.0.0.1:0, 127.0.0.1:0,unix:///tmp/a b.sock',
  ])('may be %s', (listen) => {
    expect(loadConfig({ DIBS_LISTEN: listen }).grpcListen).toEqual(listen.split(',').map((it) => it.trim()));
  });

  it.each([
    '50051',
    'localhost',
    '127.0.0.1:65536',
    '::1:50051',
    'unix:relative.sock',
    'http://a:1',
    '127.0.0.1:1,',
  ])('may not be %s', (listen) => {
    for (const each of faults({ DIBS_LISTEN: listen })) expect(each).toMatch(/^DIBS_LISTEN: '.*' is neither/);
    expect(faults({ DIBS_LISTEN: listen })).not.toEqual([]);
  });

  it('has no path that the system would truncate', () => {
    const listen = (bytes: number) => `unix:///${'s'.repeat(bytes - 1)}`;
    expect(faults({ DIBS_LISTEN: listen(107) })).toEqual([]);
    expect(fault({ DIBS_LISTEN: listen(108) })).toMatch('has 108 bytes; the system accepts at most 107');
    expect(fault({ DIBS_LISTEN: `unix:///${'é'.repeat(54)}` })).toMatch('has 109 bytes');
  });

  it('lists an address once', () => {
    expect(fault({ DIBS_LISTEN: 'localhost:1,localhost:1' })).toBe(
      "DIBS_LISTEN: 'localhost:1' is listed twice",
    );
  });

  it.each(['0.0.0.0:50051', '[::]:50051', '10.0.0.1:50051', 'dibs.internal:50051'])(
    'is reachable from other machines, as %s, only with DIBS_INSECURE',
    (listen) => {
      expect(fault({ DIBS_LISTEN: listen })).toMatch('DIBS_INSECURE=true');
      expect(fault({ DIBS_LISTEN: listen, DIBS_INSECURE: 'false' })).toMatch('DIBS_INSECURE=true');
      expect(loadConfig({ DIBS_LISTEN: listen, DIBS_INSECURE: 'true' }).grpcListen).toEqual([listen]);
    },
  );

  it('is not made insecure by any word except true', () => {
    expect(fault({ DIBS_INSECURE: 'yes' })).toBe("DIBS_INSECURE: 'yes' is not one of true, false");
  });
});

describe('DIBS_HTTP_LISTEN', () => {
  it('is one address, on any interface', () => {
    const at = (listen: string) => loadConfig({ DIBS_HTTP_LISTEN: listen }).httpListen;
    expect(at('0.0.0.0:0')).toEqual({ host: '0.0.0.0', port: 0 });
    expect(at('[::1]:9464')).toEqual({ host: '::1', port: 9464 });
  });

  it.each(['9464', 'a:65536', 'a:1,b:2', 'unix:///a'])('may not be %s', (listen) => {
    expect(fault({ DIBS_HTTP_LISTEN: listen })).toMatch(`DIBS_HTTP_LISTEN: '${listen}' is not HOST:PORT`);
  });
});

describe('the fleet', () => {
  it.each([3, 5, 7])('may have %d lock nodes', (count) => {
    const { fleet } = loadConfig({ ...inFleet, DIBS_QUORUM_NODES: nodes(count) });
    expect(fleet?.lockGroups[0]).toEqual(nodes(count).split(',').map(parseStoreUrl));
    expect(fleet?.store).toEqual(parseStoreUrl('redis://store:6379'));
  });

  it.each([1, 2, 4, 6, 8])('may not have %d lock nodes', (count) => {
    expect(fault({ ...inFleet, DIBS_QUORUM_NODES: nodes(count) })).toBe(
      `DIBS_QUORUM_NODES: lists ${count} node(s); set 3, 5 or 7`,
    );
  });

  it('needs both the lock nodes and the store', () => {
    expect(fault({ DIBS_QUORUM_NODES: nodes(3) })).toMatch(/^DIBS_QUORUM_NODES: .* DIBS_STORE_URL is not/);
    expect(fault({ DIBS_STORE_URL: 'redis://s' })).toMatch(/^DIBS_STORE_URL: .* DIBS_QUORUM_NODES is not/);
  });

  it('has lock nodes on different servers, whatever the database, the user or the spelling', () => {
    for (const same of ['redis://n0:7000/3', 'redis://me:pw@n0:7000', 'rediss://N0:7000']) {
      expect(fault({ ...inFleet, DIBS_QUORUM_NODES: `${nodes(2)},${same}` })).toBe(
        'DIBS_QUORUM_NODES: nodes 1 and 3 are both n0:7000; each must be a separate Redis',
      );
    }
    const defaultPort = 'redis://a,redis://a:6379,redis://b';
    expect(fault({ ...inFleet, DIBS_QUORUM_NODES: defaultPort })).toMatch('nodes 1 and 2');
  });

  it.each([
    'n2:7000',
    'http://n2:7000',
    'redis://n2:0',
    'redis://n2:65536',
    'redis://',
    'redis+cluster://n2:7000',
  ])('cannot have a lock node at %s', (bad) => {
    expect(fault({ ...inFleet, DIBS_QUORUM_NODES: `${nodes(2)},${bad}` })).toMatch(
      'DIBS_QUORUM_NODES: node 3 is not redis://HOST:PORT',
    );
  });

  it.each([
    'redis://s',
    'rediss://user:p%40ss@s:6380/2',
    'redis://[::1]:6379',
    'redis+cluster://a:1,b:2,c',
    'redis+sentinel://:pw@a:26379,b:26379/mymaster',
  ])('may have the store %s', (url) => {
    expect(loadConfig({ ...inFleet, DIBS_STORE_URL: url }).fleet?.store).toEqual(parseStoreUrl(url));
  });

  it.each([
    's:6379',
    'http://s:6379',
    'redis://a:1,b:2',
    'redis://a:0',
    'redis://a:70000',
    'redis+cluster://a:1,b:2/3',
    'redis+cluster://a:1,b:70000',
    'redis+sentinel://a:1',
  ])('may not have the store %s', (url) => {
    expect(fault({ ...inFleet, DIBS_STORE_URL: url })).toMatch('DIBS_STORE_URL: cannot be used: ');
  });

  it('never has its passwords in a fault', () => {
    const env = {
      DIBS_QUORUM_NODES: 'redis://me:secret@n0:70000,redis://n:secret@@x,nonsense:secret@y',
      DIBS_STORE_URL: 'ftp://me:secret@s',
    };
    expect(faults(env).length).toBeGreaterThan(3);
    expect(faults(env).join()).not.toMatch('secret');
  });
});

it('the log level is one of a list', () => {
  expect(loadConfig({ DIBS_LOG_LEVEL: 'silent' }).logLevel).toBe('silent');
  expect(fault({ DIBS_LOG_LEVEL: 'loud' })).toMatch("DIBS_LOG_LEVEL: 'loud' is not one of trace, debug");
});

it('all faults are reported at once', () => {
  const env = {
    DIBS_LEASE_MS: '1',
    DIBS_LISTEN: 'nowhere',
    DIBS_HTTP_LISTEN: 'nowhere',
    DIBS_STORE_URL: 'redis://s',
    DIBS_LOG_LEVEL: 'loud',
    DIBS_AUTH_FILE: 'a',
    DIBS_CONFIG: 'c.yaml',
  };
  const all = faults(env, 'namespaces: { shop: { ttl_jitter: 2, on_loss: panic } }');
  expect(all.map((each) => each.split(':')[0])).toEqual([
    'DIBS_LEASE_MS',
    'DIBS_LISTEN',
    'DIBS_HTTP_LISTEN',
    'DIBS_AUTH_FILE',
    'DIBS_AUTH_FILE',
    'DIBS_STORE_URL',
    'DIBS_LOG_LEVEL',
    'DIBS_CONFIG',
    'DIBS_CONFIG',
  ]);
  expect(() => loadConfig(env)).toThrow('7 fault(s)');
});

it('compressed requests are accepted only if configured', () => {
  expect(loadConfig({ DIBS_COMPRESSED_REQUESTS: 'true' }).compressedRequests).toBe(true);
  expect(() => loadConfig({ DIBS_COMPRESSED_REQUESTS: 'gzip' })).toThrow('DIBS_COMPRESSED_REQUESTS');
});
