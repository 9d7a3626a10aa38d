import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { faultsOf, LANGUAGES, readRows, readTests, stands } from '../../.ci/parity.mjs';

type Row = { feature: string; scenarios?: string[] } & Record<string, string[]>;
const rows = readRows() as Row[];
const tests = readTests();
const languages = Object.keys(LANGUAGES) as (keyof typeof LANGUAGES)[];
const ROW = 'near cache';

/** Returns the faults of one row after a change. */
const faults = (change: object, among: object = tests) =>
  faultsOf([{ ...rows.find(({ feature }) => feature === ROW), ...change }], { ...tests, ...among });

describe('the table of client features', () => {
  it('is up to date with the code', () => {
    const { status, stderr } = spawnSync(process.execPath, ['.ci/parity.mjs', '--check'], {
      encoding: 'utf8',
    });
    expect(stderr).toBe('');
    expect(status).toBe(0);
  });

  it.each(languages)('names only symbols that the code of %s has, under exactly these names', (language) => {
    const files = LANGUAGES[language].files();
    const symbols = rows.flatMap((row) => row[language] ?? []);
    expect(symbols.length).toBeGreaterThan(20);
    for (const symbol of symbols) {
      const other = symbol.endsWith("'") ? symbol.replace(/'$/, "s'") : `${symbol}s`;
      expect([symbol, stands(language, files, symbol)]).toEqual([symbol, true]);
      expect([other, stands(language, files, other)]).toEqual([other, false]);
      // The beginning of a name is no symbol either, except Rust's `Code`.
      const begun = symbol.slice(0, -1);
      if (symbol.endsWith("'") || begun === 'Code') continue;
      expect([begun, stands(language, files, begun)]).toEqual([begun, false]);
    }
  });

  it.each<[keyof typeof LANGUAGES, string]>([
    ['typescript', 'DibsClient.options'],
    ['typescript', 'DibsClient.#options'],
    ['typescript', 'NearCache'],
    ['go', 'nearCache'],
    ['go', 'Client.life'],
    ['python', 'NearValues'],
    ['python', 'Client._metrics'],
    ['java', 'NearCache'],
    ['java', 'DibsClient.connection'],
    ['rust', 'HeldLease'],
    ['rust', 'Lease.read'],
  ])('does not take private symbols of %s for public: %s', (language, symbol) => {
    expect(stands(language, LANGUAGES[language].files(), symbol)).toBe(false);
  });

  it('names existing scenarios that each client plays and passes', () => {
    const [scenario = ''] = rows.find(({ feature }) => feature === ROW)?.scenarios ?? [];
    expect(faults({})).toEqual([]);
    expect(faults({ scenarios: ['no such thing'] })).toContain(`${ROW}: "no such thing" is not a scenario`);
    expect(faults({}, { knownFailures: [`${scenario} | go`] })).toEqual([
      `${ROW}: "${scenario}" is a known failure of go`,
    ]);
    const changed = (change: object) => ({
      scenarios: tests.scenarios.map((it: { name: string }) =>
        it.name === scenario ? { ...it, ...change } : it,
      ),
    });
    expect(faults({}, changed({ except: { java: 'a reason' } }))).toEqual([
      `${ROW}: "${scenario}" is not played by java`,
    ]);
    expect(faults({}, changed({ languages: ['typescript', 'go', 'python', 'java'] }))).toEqual([
      `${ROW}: "${scenario}" is not played by rust`,
    ]);
  });

  it('has a cell for each language', () => {
    expect(faults({ rust: undefined })).toEqual([
      `${ROW}: has no cell for rust. Write [] if the client has no such feature`,
    ]);
    expect(faults({ rust: [] })).toEqual([]);
  });
});
