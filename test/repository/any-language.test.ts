import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const FOLDER = 'clients/any-language';
const read = (path: string) => readFileSync(path, 'utf8');

/** The page's blocks in a language. */
const blocks = (language: string) =>
  [...read(`${FOLDER}.md`).matchAll(/^```(\S+)\n([\s\S]*?)^```$/gm)]
    .filter(([, its]) => its === language)
    .map(([, , code = '']) => code);

describe('the page for any other language', () => {
  it('shows the program that the conformance suite runs', () => {
    const program = read(`${FOLDER}/get_or_rebuild.cc`);
    const [shown, script] = [blocks('cpp'), read(`${FOLDER}/tasks.sh`)];
    expect(shown.filter((code) => !program.includes(code))).toEqual([]);
    expect(blocks('sh').filter((code) => !script.includes(code))).toEqual([]);
    for (const call of ['GetOrLock', 'Extend', 'Publish', 'Release', 'TryCancel']) {
      expect(shown.some((code) => code.includes(call))).toBe(true);
    }
  });
});
