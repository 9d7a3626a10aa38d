import { describe, expect, it } from 'vitest';
import { Call } from '../../../../src/coordination/words/call.js';
import { CoordinationTrial, leaseOf } from '../../../support/coordination-trial.js';
import { ToldTrace } from '../../../support/told-trace.js';

const FOREVER = Number.POSITIVE_INFINITY;
const traced = (name: string, traceparent = '') => {
  const trace = new ToldTrace(name);
  return { trace, call: new Call('', FOREVER, traceparent, trace) };
};

describe('a trace', () => {
  it('shows how a lease was granted, and the end of each step', async () => {
    const trial = new CoordinationTrial();
    const { trace, call } = traced('the holder');
    const lease = leaseOf(await trial.ask({}, call));
    expect(trace.names).toEqual(['look', 'acquire', 'lease', 'arm']);
    expect(trace.step('look')).toMatchObject({ ended: true, facts: { found: 'nothing' } });
    expect(trace.step('acquire')).toMatchObject({ ended: true, facts: { ballot: 'granted' } });
    expect(trace.step('arm')).toMatchObject({ ended: true, facts: { armed: true } });
    expect(trace.step('lease')).toMatchObject({ ended: false, facts: { reason: 'miss' } });
    await trial.release(lease.token);
    expect(trace.step('lease')).toMatchObject({ ended: true, facts: { leaseEnd: 'released' } });
    await trial.expectRest();
  });

  it('shows how long a call waited, for whose rebuild, at which position, and what ended the wait', async () => {
    const trial = new CoordinationTrial();
    const holder = traced('the holder');
    const { token, fence } = leaseOf(await trial.ask({}, holder.call));
    const [first, second] = [traced('the first'), traced('the second')];
    await trial.ask({}, first.call);
    await trial.ask({}, second.call);
    await trial.ask();
    await trial.publish(token);
    const pointsTo = ['lease of the holder'];
    for (const [at, { trace }] of [first, second].entries()) {
      expect(trace.step('wait')).toMatchObject({
        ...{ ended: true, pointsTo },
        facts: { endedBy: 'publish', position: at + 1, holder: 'a holder', fence },
      });
    }
    expect(holder.trace.step('lease').facts).toMatchObject({ outcome: 'stored', servedHere: 3 });
    await trial.expectRest();
  });

  it('links a wait to each rebuild that it waited for', async () => {
    const trial = new CoordinationTrial();
    const [holder, next] = [traced('the holder'), traced('the next')];
    const first = leaseOf(await trial.ask({}, holder.call));
    const waiting = await trial.ask({}, next.call);
    const last = traced('the last');
    const asked = await trial.ask({}, last.call);
    await trial.release(first.token);
    const second = leaseOf(waiting);
    expect(next.trace.step('wait').facts.fence).toBe(first.fence);
    expect(next.trace.step('wait').facts.endedBy).toBe('lease');
    await trial.publish(second.token);
    await asked.promise;
    expect(last.trace.step('wait').pointsTo).toEqual(['lease of the holder', 'lease of the next']);
    expect(last.trace.step('wait').facts.fence).toBe(second.fence);
    await trial.expectRest();
  });

  it('links a wait to the traceparent that the holder sent, if the replica does not trace the holder', async () => {
    const trial = new CoordinationTrial();
    leaseOf(await trial.ask({}, new Call('', FOREVER, 'sent by the caller')));
    const { trace, call } = traced('the waiter');
    await trial.ask({}, call);
    expect(trace.step('wait').pointsTo).toEqual(['sent by the caller']);
    call.cancel();
    expect(trace.step('wait').facts.endedBy).toBe('cancelled');
  });

  it('shows an arm that failed, and the lease that was granted without the store', async () => {
    const trial = new CoordinationTrial();
    trial.store.losesRepliesTo.add('arm');
    const { trace, call } = traced('the holder');
    const { token } = leaseOf(await trial.ask({}, call));
    const { armed } = trace.step('arm').facts;
    expect([trace.step('arm').ended, armed]).toEqual([true, undefined]);
    // The lease of the failed arm is never ended, so it is never shown.
    expect(trace.steps.filter(({ name }) => name === 'lease').map(({ ended }) => ended)).toEqual([
      false,
      false,
    ]);
    await trial.publish(token);
    expect(trace.steps.filter(({ name }) => name === 'lease').map(({ ended }) => ended)).toEqual([
      false,
      true,
    ]);
  });

  it('contains the reads of a room if it belongs to the oldest traced caller there', async () => {
    const trial = new CoordinationTrial();
    await trial.lease();
    await trial.ask();
    const [first, second] = [traced('the first'), traced('the second')];
    await trial.ask({}, first.call);
    await trial.ask({}, second.call);
    const looks = () => [first, second].map(({ trace }) => trace.names.filter((it) => it === 'look').length);
    const before = looks();
    await trial.clock.advance(1_001);
    await trial.settle();
    const [firstLooks = 0, secondLooks = 0] = looks();
    expect(firstLooks).toBeGreaterThan(before[0] ?? 0);
    expect(secondLooks).toBe(before[1]);
    first.call.cancel();
    await trial.clock.advance(1_001);
    await trial.settle();
    expect(looks()[1]).toBeGreaterThan(secondLooks);
  });
});
