import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Ballot } from '../../src/coordination/ports/lease-quorum.js';
import type { RedlockQuorum } from '../../src/quorum/redlock-quorum.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { freshNonce } from '../support/fresh-nonce.js';
import { PATIENCE } from '../support/patience.js';
import { QuorumTrial } from '../support/quorum-trial.js';
import { runningMs } from '../support/running-ms.js';
import { until } from '../support/until.js';

/** Longer than a node stalls on a busy machine, because the other nodes must vote. */
const TIMEOUT_MS = 4_000;
/** A busy machine may add this to a timeout. More counts as a hang. */
const SLACK_MS = 4_000;
/** Longer than any test. */
const LONG_MS = 60_000;

describeWithRedis('the quorum while lock nodes fail', () => {
  let trial: QuorumTrial;
  let quorum: RedlockQuorum;
  beforeEach(async () => {
    await start();
  });
  afterEach(() => trial.close());

  async function start(silenceMs?: number): Promise<void> {
    trial = await QuorumTrial.start({
      timeoutMs: TIMEOUT_MS,
      ...(silenceMs && { silenceMs }),
      args: ['--enable-debug-command', 'yes', '--loading-process-events-interval-bytes', '1024'],
    });
    quorum = await trial.replica();
    await trial.untilAllVote(quorum);
  }

  async function inTime<T>(promise: Promise<T>): Promise<T> {
    expect(await runningMs(() => promise)).toBeLessThan(TIMEOUT_MS + SLACK_MS);
    return promise;
  }

  async function granted(ballot: Promise<Ballot>) {
    const settled = await ballot;
    if (settled.kind !== 'granted') throw new Error(`expected granted, got ${settled.kind}`);
    return settled;
  }

  /** Returns the votes that the node at `at` has given since `since`. */
  function votesOf(at: number, since = 0) {
    const name = `127.0.0.1:${trial.server(at).port}`;
    return trial.votes.slice(since).filter(({ node }) => node === name);
  }

  test('works with two nodes killed', async () => {
    await Promise.all([trial.server(0).kill(), trial.server(1).kill()]);
    const { nonce } = await granted(inTime(quorum.acquire('a', freshNonce(), LONG_MS)));
    await granted(inTime(quorum.extend('a', nonce, LONG_MS)));
    expect(await inTime(quorum.acquire('a', freshNonce(), LONG_MS))).toEqual({ kind: 'held' });
    await inTime(quorum.release('a', nonce));
    await granted(inTime(quorum.acquire('a', freshNonce(), LONG_MS)));
  });

  test('is unavailable with three nodes killed, and leaves no lock on the others', async () => {
    await Promise.all([0, 1, 2].map((at) => trial.server(at).kill()));
    expect(await inTime(quorum.acquire('a', freshNonce(), LONG_MS))).toEqual({ kind: 'unavailable' });
    expect(await inTime(quorum.extend('a', 'n', LONG_MS))).toEqual({ kind: 'unavailable' });
    await inTime(quorum.release('a', 'n'));
    await until(async () => (await trial.holders('b', [3, 4])).every((holder) => holder === null));
    expect(await inTime(quorum.acquire('b', freshNonce(), LONG_MS))).toEqual({ kind: 'unavailable' });
    await expect.poll(() => trial.holders('b', [3, 4])).toEqual([null, null]);
  });

  test('grants with two hanging nodes as soon as the other three agree, before the two time out', async () => {
    for (const at of [0, 1]) trial.server(at).hang();
    const since = trial.votes.length;
    await granted(quorum.acquire('a', freshNonce(), LONG_MS));
    expect([0, 1].flatMap((at) => votesOf(at, since))).toEqual([]);
    await until(() => [0, 1].every((at) => votesOf(at, since).length === 1));
  });

  test('settles with three hanging nodes at the timeout, and does not ask them again until they answer', async () => {
    for (const at of [0, 1, 2]) trial.server(at).hang();
    expect(await inTime(quorum.acquire('a', freshNonce(), LONG_MS))).toMatchObject({ kind: 'unavailable' });
    expect([0, 1, 2].map((at) => trial.stateOf(quorum, at))).toEqual(['suspect', 'suspect', 'suspect']);

    const since = trial.votes.length;
    expect(await quorum.acquire('b', freshNonce(), LONG_MS)).toMatchObject({ kind: 'unavailable' });
    expect([0, 1, 2].flatMap((at) => votesOf(at, since))).toEqual(
      [0, 1, 2].map((at) => ({
        node: `127.0.0.1:${trial.server(at).port}`,
        vote: 'missing',
        why: 'suspect',
      })),
    );

    for (const at of [0, 1, 2]) trial.server(at).resume();
    await trial.untilAllVote(quorum);
    // The nodes apply the acquire that timed out, and then the release.
    await expect.poll(() => trial.holders('a')).toEqual([null, null, null, null, null]);
    await granted(quorum.acquire('a', freshNonce(), LONG_MS));
  });

  test('settles every call at the timeout if all nodes hang', async () => {
    for (const server of trial.servers) server.hang();
    const calls = Promise.all([
      quorum.acquire('a', freshNonce(), LONG_MS),
      quorum.extend('a', 'n', LONG_MS),
      quorum.release('a', 'n'),
    ]);
    expect(await inTime(calls)).toMatchObject([{ kind: 'unavailable' }, { kind: 'unavailable' }, undefined]);
    for (const server of trial.servers) server.resume();
    await trial.untilAllVote(quorum);
  });

  test('counts the votes of a node again after a hang that cost its connection', async () => {
    await trial.close();
    await start(PATIENCE.silenceMs);
    trial.server(0).hang();
    await granted(quorum.acquire('a', freshNonce(), LONG_MS));
    await trial.untilState(quorum, 0, 'connecting');
    trial.server(0).resume();
    await trial.untilAllVote(quorum);
  });

  test('is undecided on split votes, and leaves no lock of the attempt', async () => {
    for (const at of [0, 1]) await trial.on(at).set('dibs:lock:a', 'first', 'PX', LONG_MS);
    for (const at of [2, 3]) await trial.on(at).set('dibs:lock:a', 'second', 'PX', LONG_MS);
    // Four answer "held", for two different holders. That is a majority, and only the record can decide.
    expect(await quorum.acquire('a', freshNonce(), LONG_MS)).toEqual({ kind: 'held' });
    expect(await trial.holders('a')).toEqual(['first', 'first', 'second', 'second', null]);

    for (const at of [0, 1]) await trial.on(at).set('dibs:lock:b', 'first', 'PX', LONG_MS);
    await trial.server(4).kill();
    expect(await quorum.acquire('b', freshNonce(), LONG_MS)).toEqual({ kind: 'undecided' });
    await expect.poll(() => trial.holders('b', [0, 1, 2, 3])).toEqual(['first', 'first', null, null]);
  });

  test('locks nodes that have lost the lock again when it extends', async () => {
    const { nonce } = await granted(quorum.acquire('a', freshNonce(), LONG_MS));
    const everywhere = Array.from({ length: 5 }, () => nonce);
    // The answer does not wait for the last two votes.
    await expect.poll(() => trial.holders('a')).toEqual(everywhere);
    for (const at of [0, 1, 2]) await trial.on(at).del('dibs:lock:a');
    await granted(quorum.extend('a', nonce, LONG_MS));
    await expect.poll(() => trial.holders('a')).toEqual(everywhere);
  });

  test('does not touch the locks of others when it extends', async () => {
    const { nonce } = await granted(quorum.acquire('a', freshNonce(), LONG_MS));
    for (const at of [0, 1]) await trial.on(at).set('dibs:lock:a', 'other', 'PX', LONG_MS);
    await granted(quorum.extend('a', nonce, LONG_MS));
    await expect.poll(() => trial.holders('a')).toEqual(['other', 'other', nonce, nonce, nonce]);
    await trial.on(2).set('dibs:lock:a', 'other', 'PX', LONG_MS);
    expect(await quorum.extend('a', nonce, LONG_MS)).toEqual({ kind: 'held' });
  });

  test.each([
    [
      'READONLY',
      async (at: number) => {
        // A Redis replica that keeps its data because its master is absent.
        await trial.on(at).call('REPLICAOF', '127.0.0.1', '1');
      },
    ],
    [
      'OOM',
      async (at: number) => {
        await trial.on(at).config('SET', 'maxmemory', '1');
      },
    ],
    [
      'LOADING',
      async (at: number) => {
        const fill = Array.from({ length: 10_000 }, (_, nth) => [`fill-${nth}`, 'x'.repeat(100)]).flat();
        await trial.on(at).mset(...fill);
        // In microseconds: all three load until the test ends.
        await trial.on(at).config('SET', 'key-load-delay', '2000');
        const reloaded = trial.on(at).call('DEBUG', 'RELOAD');
        reloaded.catch(() => {});
        const probe = trial.on(at).duplicate({ enableReadyCheck: false });
        await until(async () => {
          const said = await probe.call('GET', 'x').catch((error: Error) => error.message);
          return String(said).startsWith('LOADING');
        });
        probe.disconnect();
      },
    ],
  ])('counts %s as a missing vote, and not as held', async (code, bring) => {
    await Promise.all([0, 1, 2].map((at) => bring(at)));
    const since = trial.votes.length;
    expect(await inTime(quorum.acquire('a', freshNonce(), LONG_MS))).toMatchObject({ kind: 'unavailable' });
    for (const at of [0, 1, 2]) {
      expect(votesOf(at, since)).toEqual([
        expect.objectContaining({ vote: 'missing', why: expect.stringContaining(code) }),
      ]);
    }
    expect(await inTime(quorum.extend('a', 'n', LONG_MS))).toEqual({ kind: 'unavailable' });
  });

  test('loses votes once by SCRIPT FLUSH, and never sends the source instead', async () => {
    for (const at of [0, 1, 2]) await trial.on(at).config('SET', 'slowlog-log-slower-than', '0');
    await until(async () => {
      for (const at of [0, 1, 2]) await trial.on(at).script('FLUSH');
      const ballot = await quorum.acquire('a', freshNonce(), LONG_MS);
      // On a busy machine, a look may have loaded them again in between.
      if (ballot.kind === 'granted') await quorum.release('a', ballot.nonce);
      return ballot.kind === 'unavailable';
    });
    await trial.untilAllVote(quorum);
    await granted(quorum.acquire('a', freshNonce(), LONG_MS));
    for (const at of [0, 1, 2]) {
      const log = (await trial.on(at).slowlog('GET', '1000')) as [number, number, number, string[]][];
      const sent = log.map(([, , , [command, source]]) => ({ command, source }));
      expect(sent.some(({ command }) => command === 'evalsha')).toBe(true);
      // A release may be sent late and with its source, because it only removes a lock.
      const evals = sent.filter(({ command }) => command === 'eval').map(({ source }) => source);
      expect(evals.filter((source) => !source?.startsWith('-- lock-free:'))).toEqual([]);
    }
  });

  test('releases a lock even right after a SCRIPT FLUSH', async () => {
    const { nonce } = await granted(quorum.acquire('a', freshNonce(), LONG_MS));
    for (const at of [0, 1, 2, 3, 4]) await trial.on(at).script('FLUSH');
    await quorum.release('a', nonce);
    await until(async () => (await trial.holders('a')).every((holder) => holder === null));
  });

  test('names nodes after their address', async () => {
    expect([...quorum.states().keys()]).toEqual(trial.servers.map(({ port }) => `127.0.0.1:${port}`));
  });
});
