import { expect, it } from 'vitest';
import { Findings } from '../../../src/doctor/finding.js';
import { examineWorkers } from '../../../src/doctor/workers.js';

const found = (workers: number, sessionGraceMs = 0) => {
  const findings = new Findings('configuration');
  examineWorkers({ workers, sessionGraceMs }, 4, findings);
  return findings.all.map(({ result, check }) => `${result} ${check}`);
};

it('one process has no findings', () => {
  expect(found(1, 5_000)).toEqual([]);
});

it('more workers than cores lead to a warning', () => {
  expect(found(4)).toEqual(['ok workers']);
  expect(found(5)).toEqual(['warning workers']);
});

it('a grace with several workers leads to a warning, because a client may reach another worker', () => {
  expect(found(2, 1)).toEqual(['ok workers', 'warning sessions']);
});
