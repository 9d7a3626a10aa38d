import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { patches } from '../mutants/patches.mjs';

// `npm run mutants` checks that each is killed. It takes minutes.

const INVARIANTS = Array.from({ length: 19 }, (_, at) => `INV-${at + 1}`);

describe('the broken clients', () => {
  const folder = 'test/conformance/broken';
  it.each(readdirSync(folder))('%s applies', (name) => {
    execFileSync('git', ['apply', '--check', '--recount', `${folder}/${name}`], { stdio: 'pipe' });
  });
});

describe('the mutants', () => {
  it.each(patches())('$name applies, and names a suite', ({ path, killer }) => {
    execFileSync('git', ['apply', '--check', '--recount', path], { stdio: 'pipe' });
    expect(existsSync(killer)).toBe(true);
    // Integration suites start the built service, and a broken copy of the tree is not built.
    expect(killer).not.toMatch(/^test\/integration\//);
  });

  it('break each invariant at least twice, and are at least thirty', () => {
    const broken = patches().flatMap(({ breaks }) => breaks.split(', '));
    expect(patches().length).toBeGreaterThanOrEqual(30);
    const once = INVARIANTS.filter((invariant) => broken.filter((one) => one === invariant).length < 2);
    expect(once).toEqual([]);
    expect(broken.filter((one) => !INVARIANTS.includes(one))).toEqual([]);
  });
});
