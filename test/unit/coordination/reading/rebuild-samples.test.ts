import { expect, it } from 'vitest';
import { driftMs } from '../../../../src/coordination/leasing/drift.js';
import { RebuildSamples } from '../../../../src/coordination/reading/rebuild-samples.js';
import { keyOf } from '../../../../src/coordination/words/key.js';
import { CoordinationTrial } from '../../../support/coordination-trial.js';

it('the last rebuild of a namespace is returned once', () => {
  const samples = new RebuildSamples();
  samples.add('a', 100);
  samples.add('a', 200);
  expect([samples.remove('a'), samples.remove('a'), samples.remove('b')]).toEqual([
    200,
    undefined,
    undefined,
  ]);
});

it('samples that no read takes are bounded in number', () => {
  const samples = new RebuildSamples();
  for (let at = 0; at < 2_000; at += 1) samples.add(`space-${at}`, 100);
  const kept = Array.from({ length: 2_000 }, (_, at) => samples.remove(`space-${at}`));
  // The latest are kept. The others belong to namespaces that are not read.
  expect(kept.map((tookMs) => tookMs !== undefined)).toEqual(
    Array.from({ length: 2_000 }, (_, at) => at >= 2_000 - 1_024),
  );
});

it('the next read carries the sample of a publish, without a request for it, and new leases get its length', async () => {
  const trial = new CoordinationTrial();
  const { token } = await trial.lease();
  await trial.pass(2_000);
  const asked = trial.namespaces.asked.length;
  expect((await trial.publish(token)).outcome).toBe('stored');
  expect(trial.namespaces.asked).toHaveLength(asked);
  const other = await trial.lease({ key: keyOf('trial', 'another key') });
  expect(trial.namespaces.asked.slice(asked)).toEqual(['read']);
  // Twice the sum of the mean of 2 s and four deviations of 1 s, less the clock drift.
  expect(other.expiresInMs).toBe(12_000 - driftMs(12_000));
});
