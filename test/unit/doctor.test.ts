import { expect, it } from 'vitest';
import { runDiagnosis } from '../../src/doctor.js';

it('says why a replica would refuse its environment, with all faults', async () => {
  const diagnosis = await runDiagnosis({ DIBS_LEASE_MS: '5', DIBS_STORE_URL: 'redis://a' });
  expect(diagnosis).toEqual({ refusal: expect.stringMatching(/DIBS_STORE_URL: is set while[\s\S]*/) });
  expect(diagnosis).toEqual({ refusal: expect.stringMatching(/DIBS_LEASE_MS: '5' is not/) });
});
