import { expect, it } from 'vitest';
import { Findings } from '../../../src/doctor/finding.js';
import { examineWorkers } from '../../../src/doctor/workers.js';

const found = (workers: number, sessionGraceMs = 0) => {
  const findings = new Findings('configuration');
  examineWorkers({ workers, sessionGraceMs }, 4, findings);
  return findings.all.map(({ result, check }) => `${result} ${check}`);
};

it('says nothing of one process', () => {
  expect(found(1, 5_000)).toEqual([]);
});

it('takes as many workers as there are cores, and warns of more', () => {
  expect(found(4)).toEqual(['ok workers']);
  expect(found(5)).toEqual(['warning workers']);
});

it('warns of a grace that a client may not find again', () => {
  expect(found(2, 1)).toEqual(['ok workers', 'warning sessions']);
});
