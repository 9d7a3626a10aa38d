import { expect, it } from 'vitest';
import { keyOf } from '../../../../src/coordination/words/key.js';
import { CoordinationTrial } from '../../../support/coordination-trial.js';

it('the shown waits are the keys with their waiters and longest wait, most waiters first, in a bounded list', async () => {
  const trial = new CoordinationTrial();
  const [few, many, old] = [keyOf('trial', 'few'), keyOf('trial', 'many'), keyOf('trial', 'old')];
  for (const key of [few, many, old]) await trial.lease({ key });
  await trial.ask({ key: old });
  await trial.pass(500, 100);
  await trial.ask({ key: few });
  for (let at = 0; at < 3; at += 1) await trial.ask({ key: many });
  await trial.pass(100, 100);
  const shown = trial.coordinator.shown(2).waits;
  expect(shown).toMatchObject({ count: 3, longestMs: 600 });
  expect(trial.coordinator.longestWaitMs).toBe(600);
  expect(shown.keys).toEqual([
    { namespace: 'trial', key: 'many', waiters: 3, longestMs: 100 },
    { namespace: 'trial', key: 'old', waiters: 1, longestMs: 600 },
  ]);
  const { coordinator } = new CoordinationTrial();
  expect(coordinator.shown(2).waits).toEqual({ keys: [], count: 0, longestMs: 0 });
  expect(coordinator.longestWaitMs).toBe(0);
});
