import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const FOLDER = 'clients/any-language';
const read = (path: string) => readFileSync(path, 'utf8');

/** Returns the code blocks of both pages in a language. */
const blocks = (language: string) =>
  [...(read(`${FOLDER}.md`) + read('clients/under-a-lease.md')).matchAll(/^```(\S+)\n([\s\S]*?)^```$/gm)]
    .filter(([, its]) => its === language)
    .map(([, , code = '']) => code);

describe('the pages for any other language', () => {
  it('show the program that the conformance suite runs', () => {
    const program = read(`${FOLDER}/get_or_rebuild.cc`);
    const [shown, script] = [blocks('cpp'), read(`${FOLDER}/tasks.sh`)];
    expect(shown.filter((code) => !program.includes(code))).toEqual([]);
    expect(blocks('sh').filter((code) => !script.includes(code))).toEqual([]);
    for (const call of ['GetOrLock', 'Extend', 'Publish', 'Release', 'TryCancel']) {
      expect(shown.some((code) => code.includes(call))).toBe(true);
    }
  });
});
