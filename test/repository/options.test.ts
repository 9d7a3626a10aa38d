import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { readOptions } from '../support/options.mjs';

const KINDS = { seeds: 'number', only: 'text', stop: 'flag' } as const;

describe('the options of a command for developers', () => {
  it('are read as what they take', () => {
    expect(readOptions(KINDS, ['--seeds', '12', '--only', 'a name', '--stop'])).toEqual({
      seeds: 12,
      only: 'a name',
      stop: true,
    });
    expect(readOptions(KINDS, ['--seeds=0'])).toEqual({ seeds: 0 });
    expect(readOptions(KINDS, ['--seeds', '0.5'])).toEqual({ seeds: 0.5 });
    expect(readOptions(KINDS, [])).toEqual({});
  });

  it.each([
    [['--sedes', '12'], "Unknown option '--sedes'"],
    [['12'], "Unexpected argument '12'"],
    [['--seeds'], 'argument missing'],
    [['--only', '--stop'], 'argument is ambiguous'],
    [['--stop=yes'], 'does not take an argument'],
    [['--seeds', 'many'], "--seeds takes a number from 0, not 'many'"],
    [['--seeds=-1'], "--seeds takes a number from 0, not '-1'"],
    [['--seeds', ''], "--seeds takes a number from 0, not ''"],
    [['--seeds', '1e9'], "--seeds takes a number from 0, not '1e9'"],
  ])('%j are refused', (args, message) => {
    expect(() => readOptions(KINDS, args)).toThrow(message);
  });

  it.each([
    [['test/mutants/run.mjs', '--onyl', 'x'], 'options: --only TEXT, --jobs NUMBER'],
    [['test/mutants/run.mjs', '--only', 'no such mutant'], "no mutant 'no such mutant'"],
    [['.ci/test.mjs', '--long', '--onyl', 'types'], 'options: --only TEXT, --long'],
    [['.ci/test.mjs', '--only', 'no such stage'], "no stage 'no such stage'"],
  ])('a wrong one ends %j before it does anything', (args, message) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain(message);
  });

  it('are listed by --help', () => {
    const { status, stdout } = spawnSync(process.execPath, ['test/mutants/run.mjs', '--help'], {
      encoding: 'utf8',
    });
    expect({ status, stdout }).toEqual({ status: 0, stdout: 'options: --only TEXT, --jobs NUMBER\n' });
  });
});
