import { expect, test } from 'vitest';
import { freshNonce } from '../../support/fresh-nonce.js';
import { SimulatedQuorum, TIMEOUT_MS } from '../../support/simulated-quorum.js';

test('reports each state, and why', async () => {
  const simulated = await SimulatedQuorum.voting(3);
  const node = simulated.node(0);
  const told = () => simulated.changes.filter((change) => change.node === 'n0').splice(0);
  expect(told().map(({ from, to }) => [from, to])).toEqual([
    ['connecting', 'waiting'],
    ['waiting', 'voting'],
  ]);
  node.disconnect('ECONNRESET');
  node.disconnect('ECONNRESET');
  expect(told().at(-1)).toEqual({ node: 'n0', from: 'voting', to: 'connecting', why: 'ECONNRESET' });
  node.connect();
  await simulated.settle();
  expect(simulated.states[0]).toBe('voting');
  node.evictionPolicy = 'volatile-ttl';
  await simulated.pass(1_500);
  expect(told().at(-1)?.why).toContain('volatile-ttl');
  await simulated.quorum.close();
});

test('a node that let a call time out is not asked again until it answers a ping', async () => {
  const simulated = await SimulatedQuorum.voting(3);
  const node = simulated.node(0);
  node.hang();
  const first = simulated.quorum.acquire('a', freshNonce(), 1_000);
  await simulated.pass(TIMEOUT_MS);
  expect(await first).toMatchObject({ kind: 'granted' });
  expect(simulated.states[0]).toBe('suspect');
  node.sent.length = 0;
  await simulated.quorum.acquire('b', freshNonce(), 1_000);
  await simulated.pass(5_000);
  // A ping may be lost, so it is repeated now and then.
  expect(new Set(node.sent)).toEqual(new Set(['ping']));
  expect(simulated.votes.filter((vote) => vote.node === 'n0').at(-1)).toMatchObject({
    vote: 'missing',
    ms: 0,
    why: 'suspect',
  });
  node.resume();
  await simulated.settle();
  expect(simulated.states[0]).toBe('voting');
  await simulated.quorum.close();
});

test('a suspect node still gets every release, and no vote waits for it', async () => {
  const simulated = await SimulatedQuorum.voting(3);
  const ballot = await simulated.quorum.acquire('a', freshNonce(), 1_000);
  const nonce = ballot.kind === 'granted' ? ballot.nonce : '';
  simulated.node(0).hang();
  const asked = simulated.quorum.extend('a', nonce, 1_000);
  await simulated.pass(TIMEOUT_MS);
  await asked;
  await simulated.quorum.release('a', nonce);
  simulated.node(0).resume();
  await simulated.settle();
  expect(simulated.holders('a')).toEqual([undefined, undefined, undefined]);
  await simulated.quorum.close();
});

test('a slow node that answers is asked again', async () => {
  const simulated = await SimulatedQuorum.voting(3);
  simulated.node(0).replyMs = TIMEOUT_MS - 30;
  // Each reply comes in time, and with a second call under way the node has answered meanwhile.
  const ballots = Promise.all([
    simulated.quorum.acquire('a', freshNonce(), 1_000),
    simulated.quorum.acquire('b', freshNonce(), 1_000),
  ]);
  await simulated.pass(TIMEOUT_MS * 2);
  await ballots;
  expect(simulated.states[0]).toBe('voting');
  await simulated.quorum.close();
});

test('a node that answers with errors keeps its state, and each vote is missing', async () => {
  const simulated = await SimulatedQuorum.voting(3);
  simulated.node(0).error = new Error("OOM command not allowed when used memory > 'maxmemory'.");
  await simulated.quorum.acquire('a', freshNonce(), 1_000);
  expect(simulated.votes.filter(({ node }) => node === 'n0')).toEqual([
    { node: 'n0', vote: 'missing', ms: 0, why: expect.stringMatching(/^OOM/) },
  ]);
  await simulated.quorum.close();
});

test('a node whose scripts are flushed while it waits is prepared again', async () => {
  const simulated = await SimulatedQuorum.voting(3, 5_000);
  simulated.node(0).restart();
  simulated.node(0).connect();
  await simulated.settle();
  expect(simulated.states[0]).toBe('waiting');
  const recall = simulated.node(0).recall.bind(simulated.node(0));
  simulated.node(0).prepared = false;
  simulated.node(0).recall = (run, ms) =>
    simulated.node(0).prepared ? recall(run, ms) : Promise.reject(new Error('NOSCRIPT'));
  await simulated.pass(6_000, 50);
  expect(simulated.states[0]).toBe('voting');
  await simulated.quorum.close();
});

test('a node that cannot be inspected reports why', async () => {
  const simulated = new SimulatedQuorum(3);
  simulated.node(0).inspect = () => Promise.reject(new Error('NOPERM no permission for info'));
  simulated.quorum.start();
  await simulated.pass(500);
  const told = simulated.changes.filter(({ node }) => node === 'n0');
  expect(told).toEqual([
    { node: 'n0', from: 'connecting', to: 'connecting', why: 'NOPERM no permission for info' },
  ]);
  await simulated.quorum.close();
});

test('a connection that is lost during an inspection leaves no second one behind', async () => {
  const simulated = await SimulatedQuorum.voting(3);
  const node = simulated.node(0);
  node.hang();
  await simulated.pass(1_300);
  for (let times = 0; times < 5; times += 1) {
    node.disconnect();
    node.connect();
  }
  node.resume();
  await simulated.pass(200);
  node.sent.length = 0;
  await simulated.pass(10_000, 50);
  // An inspection takes two steps, and they are at least 750 ms apart.
  expect(node.sent.length).toBeLessThan(2 * 15);
  expect(node.sent.length).toBeGreaterThan(2 * 6);
  await simulated.quorum.close();
});

test('of two names of one Redis only the first votes, and the other reports why', async () => {
  const simulated = await SimulatedQuorum.voting(3);
  const [one, other] = [simulated.node(0), simulated.node(1)];
  other.disconnect('ECONNRESET');
  other.inspect = () => one.inspect();
  other.sent.length = 0;
  other.connect();
  await simulated.pass(1_500);
  expect(simulated.states).toEqual(['voting', 'duplicate', 'voting']);
  expect(simulated.changes.at(-1)).toMatchObject({
    node: 'n1',
    to: 'duplicate',
    why: expect.stringMatching('same Redis as n0'),
  });
  // Either step would change the node that votes.
  expect(other.sent.filter((step) => /mark|recall/.test(step))).toEqual([]);
  expect(await simulated.quorum.acquire('a', freshNonce(), 1_000)).toMatchObject({ kind: 'granted' });
  // The name leads to another Redis now.
  Reflect.deleteProperty(other, 'inspect');
  await simulated.pass(1_500);
  expect(simulated.states).toEqual(['voting', 'voting', 'voting']);
  // The node that voted for that Redis has left, so the next one may vote for it.
  const { run } = await one.inspect();
  one.disconnect('ECONNRESET');
  other.inspect = async () => ({ run });
  await simulated.pass(1_500);
  expect(simulated.states[1]).not.toBe('duplicate');
  await simulated.quorum.close();
});

test('a node that refuses votes reports why, is still asked, and votes again', async () => {
  const simulated = await SimulatedQuorum.voting(3);
  const node = simulated.node(0);
  node.error = Object.assign(new Error('Redis is full'), { name: 'Refused' });
  expect(await simulated.quorum.acquire('a', freshNonce(), 1_000)).toMatchObject({ kind: 'granted' });
  expect(simulated.states[0]).toBe('refusing');
  expect(simulated.changes.at(-1)).toMatchObject({ node: 'n0', to: 'refusing', why: 'Redis is full' });
  await simulated.pass(3_000);
  expect(simulated.states[0]).toBe('refusing');
  node.error = undefined;
  await simulated.quorum.acquire('b', freshNonce(), 1_000);
  expect(simulated.states[0]).toBe('voting');
  node.error = Object.assign(new Error('Redis is full'), { name: 'Refused' });
  await simulated.quorum.acquire('c', freshNonce(), 1_000);
  // Nothing was asked meanwhile, so nothing shows that it still refuses.
  await simulated.pass(12_000);
  expect(simulated.states[0]).toBe('voting');
  await simulated.quorum.close();
});
