import { afterEach, expect, test } from 'vitest';
import type { RedlockQuorum } from '../../src/quorum/redlock-quorum.js';
import { RedisLockNode } from '../../src/redis/lock-node.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { freshNonce } from '../support/fresh-nonce.js';
import { MUCH_PATIENCE } from '../support/patience.js';
import { QuorumTrial, type QuorumTrialOptions } from '../support/quorum-trial.js';
import { inRounds } from '../support/rounds.js';
import { until } from '../support/until.js';

/** The longest lease: short enough to wait for, and longer than an idle machine needs for the steps of a test. */
const ROUNDS_MS = [1_500, 9_000];
const FIRST = 0;

describeWithRedis('a lock node that forgets', () => {
  let trial: QuorumTrial;
  let leaseMsMax: number;
  afterEach(() => trial.close());

  /** A test that ends once a node has waited for the longest lease. */
  const timed = (name: string, round: () => Promise<void>) =>
    test(name, () =>
      inRounds(ROUNDS_MS, async (ms) => {
        if (ms !== ROUNDS_MS[0]) await trial?.close();
        leaseMsMax = ms;
        await round();
      }),
    );

  async function startTrial(options: QuorumTrialOptions = {}): Promise<QuorumTrial> {
    trial = await QuorumTrial.start({ nodes: 3, leaseMsMax, ...options });
    return trial;
  }

  async function startQuorum(options?: QuorumTrialOptions): Promise<RedlockQuorum> {
    await startTrial(options);
    const quorum = await trial.replica();
    await trial.untilAllVote(quorum);
    return quorum;
  }

  /** Returns how long from now the node does not vote, in milliseconds. */
  async function silenceMs(quorum: RedlockQuorum, at = FIRST): Promise<number> {
    const sinceMs = performance.now();
    await trial.untilState(quorum, at, 'voting');
    return performance.now() - sinceMs;
  }

  const markerOf = (at: number) => trial.on(at).get('dibs:marker');
  const waitOf = (at: number) => trial.on(at).hget('dibs:wait', 'since');
  const expectNoVoteOn = async (quorum: RedlockQuorum, at: number) => {
    const ballot = await quorum.acquire('probe', freshNonce(), leaseMsMax);
    expect(await trial.holders('probe', [at])).toEqual([null]);
    if (ballot.kind === 'granted') await quorum.release('probe', ballot.nonce);
  };

  timed('does not vote after an empty restart until the longest lease has passed', async () => {
    const quorum = await startQuorum();
    const restartedMs = performance.now();
    await trial.server(FIRST).restart();
    await trial.untilState(quorum, FIRST, 'waiting');
    await expectNoVoteOn(quorum, FIRST);
    await silenceMs(quorum);
    expect(performance.now() - restartedMs).toBeGreaterThan(leaseMsMax);
    const ballot = await quorum.acquire('a', freshNonce(), leaseMsMax);
    expect(ballot.kind).toBe('granted');
    // The answer does not wait for the last vote.
    await expect.poll(() => trial.holders('a', [FIRST])).not.toEqual([null]);
  });

  timed('does not vote after a restart from an old snapshot that contains the marker', async () => {
    const quorum = await startQuorum();
    const oldMarker = await markerOf(FIRST);
    await trial.on(FIRST).save();
    const restartedMs = performance.now();
    await trial.server(FIRST).restart();
    await trial.untilState(quorum, FIRST, 'waiting');
    expect(await markerOf(FIRST)).toBe(oldMarker);
    await expectNoVoteOn(quorum, FIRST);
    await silenceMs(quorum);
    expect(performance.now() - restartedMs).toBeGreaterThan(leaseMsMax);
    expect(await markerOf(FIRST)).not.toBe(oldMarker);
  });

  timed('does not answer the next request with a vote after a FLUSHALL', async () => {
    const quorum = await startQuorum();
    const flushedMs = performance.now();
    await trial.on(FIRST).flushall();
    const since = trial.votes.length;
    await expectNoVoteOn(quorum, FIRST);
    const name = `127.0.0.1:${trial.server(FIRST).port}`;
    const votes = trial.votes.slice(since).filter(({ node }) => node === name);
    expect(votes.map(({ vote }) => vote)).toEqual(['missing']);
    await trial.untilState(quorum, FIRST, 'waiting');
    await silenceMs(quorum);
    expect(performance.now() - flushedMs).toBeGreaterThan(leaseMsMax);
  });

  timed('waits again if it forgets again', async () => {
    const quorum = await startQuorum();
    await trial.server(FIRST).restart();
    await trial.untilState(quorum, FIRST, 'waiting');
    const first = await waitOf(FIRST);
    await new Promise((resolve) => setTimeout(resolve, leaseMsMax / 2));
    const flushedMs = performance.now();
    await trial.on(FIRST).flushall();
    await until(async () => {
      const again = await waitOf(FIRST);
      return again !== null && again !== first;
    });
    await silenceMs(quorum);
    expect(performance.now() - flushedMs).toBeGreaterThan(leaseMsMax);
  });

  timed('waits for the longest lease of any replica that uses it', async () => {
    // Longer than the other replica needs to connect again.
    const short = await startQuorum({ leaseMsMax: leaseMsMax / 3 });
    const long = await trial.replica({ leaseMsMax });
    await trial.untilAllVote(long);
    const restartedMs = performance.now();
    await trial.server(FIRST).restart();
    await trial.untilState(short, FIRST, 'waiting');
    await silenceMs(short);
    expect(performance.now() - restartedMs).toBeGreaterThan(leaseMsMax);
  });

  timed('never votes while its policy may evict, and waits after that', async () => {
    const quorum = await startQuorum();
    await trial.on(FIRST).config('SET', 'maxmemory-policy', 'allkeys-lru');
    await trial.untilState(quorum, FIRST, 'evicting');
    await until(async () => (await markerOf(FIRST)) === null);
    await expectNoVoteOn(quorum, FIRST);
    const late = await trial.replica();
    await until(() => [...late.states().values()].filter((state) => state === 'voting').length === 2);
    await trial.untilState(late, FIRST, 'evicting');

    const correctedMs = performance.now();
    await trial.on(FIRST).config('SET', 'maxmemory-policy', 'noeviction');
    await silenceMs(quorum);
    expect(performance.now() - correctedMs).toBeGreaterThan(leaseMsMax);
  });

  test('does not wait at a first start, which is claimed before any node is marked', async () => {
    await startTrial({ leaseMsMax: 60_000 });
    const claim = trial.claim.claimFirstStart.bind(trial.claim);
    let markersBefore: (string | null)[] = [];
    trial.claim.claimFirstStart = async () => {
      markersBefore = await Promise.all([0, 1, 2].map(markerOf));
      return claim();
    };
    const quorum = await trial.replica();
    expect((await quorum.acquire('a', freshNonce(), 60_000)).kind).toBe('granted');
    expect(markersBefore).toEqual([null, null, null]);
    expect(trial.claim.taken).toBe(true);
  });

  test('does not wait if several replicas start together', async () => {
    await startTrial({ leaseMsMax: 60_000 });
    const replicas = await Promise.all([1, 2, 3, 4].map(() => trial.replica()));
    for (const replica of replicas) await trial.untilAllVote(replica);
  });

  timed('waits if all nodes forget after the store has recorded the quorum', async () => {
    const quorum = await startQuorum();
    const lostMs = performance.now();
    await Promise.all(trial.servers.map((server) => server.restart()));
    const fresh = await trial.replica();
    await Promise.all([trial.untilAllVote(fresh), trial.untilAllVote(quorum)]);
    expect(performance.now() - lostMs).toBeGreaterThan(leaseMsMax);
  });

  timed(
    'votes after the wait if a replica claimed the first start and died before it marked a node',
    async () => {
      await startTrial();
      trial.claim.taken = true;
      const startedMs = performance.now();
      await trial.untilAllVote(await trial.replica());
      expect(performance.now() - startedMs).toBeGreaterThan(leaseMsMax);
    },
  );

  timed('votes after the wait if the store is unreachable at the first start', async () => {
    await startTrial();
    trial.claim.reachable = false;
    const startedMs = performance.now();
    await trial.untilAllVote(await trial.replica());
    expect(performance.now() - startedMs).toBeGreaterThan(leaseMsMax);
    expect(trial.claim.taken).toBe(false);
  });

  test('skips the rest of the wait if the store becomes reachable during the first start', async () => {
    await startTrial({ leaseMsMax: 60_000 });
    trial.claim.reachable = false;
    const quorum = await trial.replica();
    expect((await quorum.acquire('a', freshNonce(), 500)).kind).toBe('unavailable');
    trial.claim.reachable = true;
    await trial.untilAllVote(quorum);
  });

  timed('is not marked by the claim if it forgets between the claim and its mark', async () => {
    await startTrial();
    const claim = trial.claim.claimFirstStart.bind(trial.claim);
    const other = new RedisLockNode(trial.server(FIRST).address, MUCH_PATIENCE);
    await new Promise<void>((resolve) => other.start({ connected: resolve, disconnected: () => {} }));
    await other.prepare();
    const { run } = await other.inspect();
    let forgottenMs = 0;
    trial.claim.claimFirstStart = async () => {
      const first = await claim();
      if (first) {
        // This replica pauses here. Meanwhile another one inspects the node, which begins a new wait.
        await trial.on(FIRST).flushall();
        forgottenMs = performance.now();
        await other.recall(run, leaseMsMax);
      }
      return first;
    };
    const quorum = await trial.replica();
    await trial.untilState(quorum, 1, 'voting');
    await trial.untilState(quorum, 2, 'voting');
    expect(trial.stateOf(quorum, FIRST)).toBe('waiting');
    await silenceMs(quorum);
    expect(performance.now() - forgottenMs).toBeGreaterThan(leaseMsMax);
    await other.close();
  });

  timed('keeps the others waiting if it is absent, because it may be the one that remembers', async () => {
    await startTrial();
    await trial.server(FIRST).kill();
    const startedMs = performance.now();
    const quorum = await trial.replica();
    await trial.untilState(quorum, 1, 'voting');
    expect(performance.now() - startedMs).toBeGreaterThan(leaseMsMax);
    // Recorded by the nodes that vote after the wait, so losing all of them does not look like a first start.
    expect(trial.claim.taken).toBe(true);
  });
});
