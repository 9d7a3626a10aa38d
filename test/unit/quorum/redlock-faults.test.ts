import { readFileSync } from 'node:fs';
import { Redis } from 'ioredis';
import Redlock, { ExecutionError, Lock } from 'redlock';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { describeWithRedis } from '../../support/describe-with-redis.js';
import { freshNonce } from '../../support/fresh-nonce.js';
import { QuorumTrial } from '../../support/quorum-trial.js';
import { RedisServer } from '../../support/redis-server.js';
import { SimulatedQuorum, TIMEOUT_MS } from '../../support/simulated-quorum.js';

// Each known fault of redlock 5.0.0-beta.2: first in the bare package, then that src/quorum/ keeps it from the
// caller of the port. If the first half begins to fail, a new version of the package has fixed the fault.

type Client = Redlock['clients'] extends Set<infer C> ? C : never;
type Reply = (script: 'cached' | 'source', args: string[]) => Promise<number>;

/** The package itself, over five clients with made-up replies. */
function bare(reply: Reply, settings = {}): Redlock {
  const clients = Array.from({ length: 5 }, () => ({
    evalsha: (_hash: string, _keys: number, args: string[]) => reply('cached', args),
    eval: (_source: string, _keys: number, args: string[]) => reply('source', args),
  }));
  return new Redlock(clients as unknown as Client[], { retryCount: 0, ...settings });
}

const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

afterEach(() => {
  vi.restoreAllMocks();
});

describe('returns locks that have already expired (pull request 369, issue 296)', () => {
  test('the package', async () => {
    const redlock = bare(async () => {
      await later(60);
      return 1;
    });
    const lock = await redlock.acquire(['a'], 20);
    expect(lock.expiration).toBeLessThan(Date.now());
  });

  test('the port: late agreement is undecided, and is given back', async () => {
    const simulated = await SimulatedQuorum.voting();
    for (const node of simulated.nodes) node.replyMs = 90;
    const ballot = simulated.quorum.acquire('a', freshNonce(), 90);
    await simulated.pass(300);
    expect(await ballot).toEqual({ kind: 'undecided' });
    for (const node of simulated.nodes) expect(node.locks.has('a')).toBe(false);
    await simulated.quorum.close();
  });

  test('the port: an extension that is agreed to too late is undecided', async () => {
    const simulated = await SimulatedQuorum.voting();
    for (const node of simulated.nodes) node.replyMs = 90;
    const ballot = simulated.quorum.extend('a', 'nonce', 90);
    await simulated.pass(100);
    expect(await ballot).toEqual({ kind: 'undecided' });
    await simulated.quorum.close();
  });
});

describe('never settles when nodes hang', () => {
  test('the package', async () => {
    const redlock = bare(() => new Promise(() => {}));
    const settled = redlock.acquire(['a'], 1_000).then(
      () => 'settled',
      () => 'settled',
    );
    expect(await Promise.race([settled, later(50).then(() => 'pending')])).toBe('pending');
  });

  test('the port: every method settles by the timeout of a node', async () => {
    const simulated = await SimulatedQuorum.voting();
    for (const node of simulated.nodes) node.hang();
    const calls = Promise.all([
      simulated.quorum.acquire('a', freshNonce(), 1_000),
      simulated.quorum.extend('b', 'nonce', 1_000),
      simulated.quorum.release('c', 'nonce'),
    ]);
    await simulated.pass(TIMEOUT_MS);
    expect(await calls).toEqual([
      { kind: 'unavailable', late: true },
      { kind: 'unavailable', late: true },
      undefined,
    ]);
    await simulated.quorum.close();
  });
});

describe('reuses one nonce across its own retries', () => {
  test('the package', async () => {
    const nonces: string[] = [];
    const redlock = bare(
      async (_script, [, nonce]) => {
        nonces.push(nonce ?? '');
        return 0;
      },
      { retryCount: 2, retryDelay: 1, retryJitter: 0 },
    );
    await redlock.acquire(['a'], 1_000).catch(() => {});
    // Three attempts and the release at five nodes, all with one nonce: a late step of the first attempt sets a lock
    // of the last one.
    expect(nonces).toHaveLength(20);
    expect(new Set(nonces).size).toBe(1);
  });

  test('the port: one call is one attempt, with its own nonce', async () => {
    const simulated = await SimulatedQuorum.voting();
    const nonces = new Set<string>();
    const [node] = simulated.nodes;
    const take = vi.spyOn(node as NonNullable<typeof node>, 'take');
    for (const other of simulated.nodes) other.locks.set('a', { nonce: 'x', untilMs: Infinity });
    for (let attempt = 0; attempt < 3; attempt += 1) await simulated.quorum.acquire('a', freshNonce(), 1_000);
    for (const [, steps] of take.mock.calls) for (const { nonce } of steps) nonces.add(nonce);
    expect(take).toHaveBeenCalledTimes(3);
    expect(nonces.size).toBe(3);
    await simulated.quorum.close();
  });
});

describe('throws on releasing an expired lock (issue 168)', () => {
  test('the package', async () => {
    const redlock = bare(async () => 0);
    const lock = new Lock(redlock, ['a'], 'nonce', [], 0);
    await expect(redlock.release(lock)).rejects.toThrow(ExecutionError);
  });

  test('the port: releasing a lost lock succeeds', async () => {
    const simulated = await SimulatedQuorum.voting();
    await expect(simulated.quorum.release('a', 'nonce')).resolves.toBeUndefined();
    for (const node of simulated.nodes) node.disconnect();
    await expect(simulated.quorum.release('a', 'nonce')).resolves.toBeUndefined();
    await simulated.quorum.close();
  });
});

describe('cannot tell contention from node errors (issue 288)', () => {
  test('the package', async () => {
    const held = await bare(async () => 0)
      .acquire(['a'], 1_000)
      .catch((error: Error) => error);
    const broken = await bare(async () => {
      throw new Error('OOM command not allowed');
    })
      .acquire(['a'], 1_000)
      .catch((error: Error) => error);
    expect(held).toBeInstanceOf(ExecutionError);
    expect((broken as Error).message).toBe((held as Error).message);
  });

  test('the port: held, lost and undecided', async () => {
    const simulated = await SimulatedQuorum.voting();
    const lock = { nonce: 'other', untilMs: Infinity };
    for (const node of simulated.nodes) node.locks.set('a', lock);
    expect(await simulated.quorum.acquire('a', freshNonce(), 1_000)).toEqual({ kind: 'held' });
    for (const at of [0, 1, 2]) simulated.node(at).error = new Error('OOM command not allowed');
    expect(await simulated.quorum.acquire('a', freshNonce(), 1_000)).toEqual({ kind: 'unavailable' });
    simulated.node(0).error = undefined;
    expect(await simulated.quorum.acquire('a', freshNonce(), 1_000)).toEqual({ kind: 'held' });
    simulated.node(0).locks.clear();
    expect(await simulated.quorum.acquire('a', freshNonce(), 1_000)).toEqual({ kind: 'undecided' });
    expect(simulated.node(0).locks.has('a')).toBe(false);
    await simulated.quorum.close();
  });
});

describeWithRedis('does not lock emptied nodes again on extension', () => {
  test('the package', async () => {
    const servers = await Promise.all([0, 1, 2].map(() => RedisServer.start()));
    const clients = servers.map(({ url }) => new Redis(url));
    // The package calls evalsha with the keys and arguments in one array, which ioredis accepts.
    const redlock = new Redlock(clients as unknown as Client[], { retryCount: 0 });
    const lock = await redlock.acquire(['a'], 60_000);
    await Promise.all(lock.attempts);
    for (const client of clients.slice(0, 2)) await client.flushall();
    await expect(lock.extend(60_000)).rejects.toThrow(ExecutionError);
    for (const client of clients) client.disconnect();
    await Promise.all(servers.map((server) => server.stop()));
  });

  test('the port: a majority that lost the lock gets it again', async () => {
    const trial = await QuorumTrial.start({ nodes: 3 });
    const quorum = await trial.replica();
    await trial.untilAllVote(quorum);
    const ballot = await quorum.acquire('a', freshNonce(), 60_000);
    const nonce = ballot.kind === 'granted' ? ballot.nonce : '';
    for (const at of [0, 1]) await trial.on(at).del('dibs:lock:a');
    expect(await quorum.extend('a', nonce, 60_000)).toMatchObject({ kind: 'granted', nonce });
    await quorum.release('a', nonce);
    await trial.close();
  });
});

describe('ships no types in `exports` (issue 290)', () => {
  const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');

  test('the package', () => {
    const { exports } = JSON.parse(read('node_modules/redlock/package.json'));
    expect(Object.keys(exports['.'])).toEqual(['import', 'require']);
  });

  test('the port: the compiler knows where they are', () => {
    expect(read('tsconfig.json')).toContain('"redlock": ["./node_modules/redlock/dist/index.d.ts"]');
  });
});

describe('reads the wall clock', () => {
  const HOUR_MS = 3_600_000;

  test('the package', async () => {
    const redlock = bare(async () => 1);
    const lock = await redlock.acquire(['a'], 60_000);
    const now = Date.now();
    vi.spyOn(Date, 'now').mockReturnValue(now + HOUR_MS);
    await expect(lock.extend(5_000)).rejects.toThrow('already-expired');
  });

  test('the port: a jump of the wall clock, forward or back, changes nothing', async () => {
    const simulated = await SimulatedQuorum.voting();
    const now = Date.now();
    for (const jumpMs of [HOUR_MS, -HOUR_MS]) {
      const wall = vi.spyOn(Date, 'now').mockReturnValue(now);
      const ballot = await simulated.quorum.acquire('a', freshNonce(), 5_000);
      const nonce = ballot.kind === 'granted' ? ballot.nonce : '';
      const validUntilMs = simulated.clock.nowMs() + 5_000 - 52;
      expect(ballot).toEqual({ kind: 'granted', nonce, validUntilMs });
      wall.mockReturnValue(now + jumpMs);
      expect(await simulated.quorum.extend('a', nonce, 5_000)).toEqual(ballot);
      await simulated.quorum.release('a', nonce);
      wall.mockRestore();
    }
    await simulated.quorum.close();
  });
});

describe('sends the source of a script that a node does not have', () => {
  test('the package', async () => {
    const sent: string[] = [];
    const redlock = bare(async (script) => {
      sent.push(script);
      if (script === 'cached') throw new Error('NOSCRIPT No matching script');
      return 1;
    });
    await redlock.acquire(['a'], 1_000);
    // The second request leaves a round trip later, and may be applied after the release.
    expect(sent.slice(-5)).toEqual(['source', 'source', 'source', 'source', 'source']);
  });

  test('the port: such a node does not vote until it has been prepared', async () => {
    const simulated = await SimulatedQuorum.voting();
    for (const node of simulated.nodes) {
      node.prepared = false;
      node.sent.length = 0;
    }
    expect(await simulated.quorum.acquire('a', freshNonce(), 1_000)).toEqual({ kind: 'unavailable' });
    expect(simulated.holders('a')).toEqual(Array(5).fill(undefined));
    await simulated.settle();
    for (const node of simulated.nodes)
      expect(node.sent.filter((step) => step === 'acquire')).toHaveLength(1);
    expect(await simulated.quorum.acquire('a', freshNonce(), 1_000)).toMatchObject({ kind: 'granted' });
    await simulated.quorum.close();
  });
});
