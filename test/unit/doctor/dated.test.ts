import { expect, it } from 'vitest';
import { dated } from '../../../src/doctor/dated.js';
import { Findings } from '../../../src/doctor/finding.js';

const DAY_MS = 86_400_000;
const NOW_MS = Date.parse('2026-06-01T00:00:00Z');

it.each([
  [-1, 'fault', /^expired on 2026-05-31T23:59:59\.999Z; renew it$/],
  [0, 'warning', /^ends in 0 days, on 2026-06-01T00:00:00\.000Z; renew it$/],
  [14 * DAY_MS - 1, 'warning', /^ends in 13 days/],
  [14 * DAY_MS, 'ok', /^valid until 2026-06-15/],
] as const)('a certificate that ends in %s ms is rated %s', (leftMs, result, detail) => {
  const findings = new Findings('part');
  dated(findings, 'certificate', NOW_MS + leftMs, NOW_MS);
  expect(findings.all).toEqual([
    { part: 'part', check: 'certificate', result, detail: expect.stringMatching(detail) },
  ]);
});
