import { expect, test } from 'vitest';
import { LEASE_MS_MAX, SimulatedQuorum } from '../../support/simulated-quorum.js';

test('a first start has blank nodes only, one claim and no wait', async () => {
  const simulated = await SimulatedQuorum.voting();
  expect(simulated.states).toEqual(Array(5).fill('voting'));
  expect(simulated.claim.claims).toBe(1);
});

test('a node with a marker of another run was part of a quorum, so no replica claims a first start', async () => {
  const simulated = new SimulatedQuorum();
  simulated.node(3).marker = 'some-old-run';
  simulated.quorum.start();
  await simulated.pass(1_000);
  expect(simulated.states).toEqual(Array(5).fill('waiting'));
  expect(simulated.claim.claims).toBe(0);
  await simulated.pass(LEASE_MS_MAX, 500);
  expect(simulated.states).toEqual(Array(5).fill('voting'));
});

test('a store that never answers delays only the first start', async () => {
  const simulated = new SimulatedQuorum(3, 5_000);
  simulated.claim.claimFirstStart = () => new Promise(() => {});
  simulated.quorum.start();
  await simulated.pass(4_900, 50);
  expect(simulated.states).toEqual(['waiting', 'waiting', 'waiting']);
  await simulated.pass(2_000, 50);
  expect(simulated.states).toEqual(['voting', 'voting', 'voting']);
});

test('nodes that were blank one after the other, but never together, are not a first start', async () => {
  const simulated = new SimulatedQuorum(3);
  const [node] = simulated.nodes;
  if (node === undefined) throw new Error('no node');
  // The third node's first reply is late. Meanwhile the first node forgets and begins a new wait.
  const recall = simulated.node(2).recall.bind(simulated.node(2));
  simulated.node(2).recall = async (run, ms) => {
    const memory = await recall(run, ms);
    node.wait = { run: node.run, since: 'another wait', sinceMs: simulated.clock.nowMs(), ms };
    simulated.node(2).recall = recall;
    return memory;
  };
  simulated.quorum.start();
  await simulated.settle();
  expect(simulated.claim.claims).toBe(0);
  // The next round sees the new wait twice.
  await simulated.pass(200);
  expect(simulated.states).toEqual(['voting', 'voting', 'voting']);
});

test('the claim is repeated while nodes vote, so that a flushed store knows of the quorum again', async () => {
  const simulated = await SimulatedQuorum.voting(3);
  simulated.claim.taken = false;
  await simulated.pass(10_100, 100);
  expect(simulated.claim.taken).toBe(true);
  // The loss of all nodes is not a first start now.
  for (const node of simulated.nodes) {
    node.restart();
    node.connect();
  }
  await simulated.pass(1_000);
  expect(simulated.states).toEqual(['waiting', 'waiting', 'waiting']);
});

test('a replica that has seen a marker never takes the loss of all nodes for a first start', async () => {
  const simulated = new SimulatedQuorum(3);
  for (const node of simulated.nodes) node.marker = node.run;
  simulated.quorum.start();
  await simulated.settle();
  expect(simulated.states).toEqual(['voting', 'voting', 'voting']);
  for (const node of simulated.nodes) {
    node.restart();
    node.connect();
  }
  await simulated.pass(1_000);
  expect(simulated.states).toEqual(['waiting', 'waiting', 'waiting']);
  expect(simulated.claim.claims).toBe(0);
});

test('the store gets the claim before a node is marked because of its age', async () => {
  const simulated = new SimulatedQuorum(3, 1_000);
  simulated.node(0).marker = 'an-old-run';
  const steps: string[] = [];
  const claim = simulated.claim.claimFirstStart.bind(simulated.claim);
  simulated.claim.claimFirstStart = () => {
    steps.push('claim');
    return claim();
  };
  const mark = simulated.node(1).mark.bind(simulated.node(1));
  simulated.node(1).mark = (...args) => {
    steps.push('mark');
    return mark(...args);
  };
  simulated.quorum.start();
  await simulated.pass(1_500);
  expect(steps[0]).toBe('claim');
  expect(steps).toContain('mark');
});

test('after a close during a first start, nothing goes on', async () => {
  const simulated = new SimulatedQuorum(3);
  let answer: (first: boolean) => void = () => {};
  simulated.claim.claimFirstStart = () =>
    new Promise((resolve) => {
      answer = resolve;
    });
  simulated.quorum.start();
  await simulated.settle();
  await simulated.quorum.close();
  answer(true);
  await simulated.settle();
  for (const node of simulated.nodes) expect(node.marker).toBeUndefined();
  expect(simulated.clock.timers).toBe(0);
});
