import { expect, it } from 'vitest';
import { runDiagnosis } from '../../src/doctor.js';

it('a refused environment is reported with all its faults', async () => {
  const diagnosis = await runDiagnosis({ DIBS_LEASE_MS: '5', DIBS_STORE_URL: 'redis://a' });
  expect(diagnosis).toEqual({ refusal: expect.stringMatching(/DIBS_STORE_URL: is set while[\s\S]*/) });
  expect(diagnosis).toEqual({ refusal: expect.stringMatching(/DIBS_LEASE_MS: '5' is not/) });
});
