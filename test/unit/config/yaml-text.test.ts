import { afterEach, expect, it, vi } from 'vitest';
import { Faults } from '../../../src/config/faults.js';
import { ALIASES_MAX, LEVELS_MAX, readYaml } from '../../../src/config/yaml-text.js';

function read(text: string) {
  const faults = Faults.none();
  return { content: readYaml(text, faults), faults: faults.all };
}
afterEach(() => vi.restoreAllMocks());

it('plain YAML is read, and an empty text is an empty map', () => {
  expect(read('a: [1, two]')).toEqual({ content: { a: [1, 'two'] }, faults: [] });
  expect(read('# nothing')).toEqual({ content: {}, faults: [] });
});

it.each([
  ['a: [', /BAD_INDENT|BAD_END|MISSING|FLOW/],
  ['- a: 1\n  ? a\n  : secret', /DUPLICATE_KEY at line 2, column 5$/],
  ['a: 1\na: secret', /DUPLICATE_KEY at line 2, column 1$/],
  ['a: [!secret secret-token]', /TAG_RESOLVE_FAILED at line 1, column 5$/],
  ['%secret\n---\na: 1', /BAD_DIRECTIVE at line 1, column 1$/],
  ['a: *secret', /alias/],
  ['a: 1\n---\nb: secret', /MULTIPLE_DOCS at line 2/],
  ['a: { __proto__: secret }', /has the name __proto__, which cannot be used, at line 1, column 6$/],
])('%j is refused with its position, and neither quoted nor printed', (text, said) => {
  const warned = vi.spyOn(process, 'emitWarning');
  const { content, faults } = read(text);
  expect(content).toBeUndefined();
  expect(faults).toEqual([expect.stringMatching(said)]);
  expect(faults.join()).not.toMatch('secret');
  expect(warned).not.toHaveBeenCalled();
});

const nested = (levels: number, open: string, close = '') => open.repeat(levels) + close.repeat(levels);

it.each([
  ['[', ']'],
  ['{ a: ', '}'],
  ['- ', ''],
  ['? ', ''],
])('%j may be nested in so many levels, and more never reach the end of the stack', (open, close) => {
  expect(read(nested(LEVELS_MAX, open, close)).faults).toEqual([]);
  const fault = new RegExp(
    `^is nested in more than 20 levels at line 1, column ${open.length * LEVELS_MAX + 1}$`,
  );
  for (const levels of [LEVELS_MAX + 1, 5_000, 100_000]) {
    expect(read(nested(levels, open, close)).faults).toEqual([expect.stringMatching(fault)]);
    expect(read(nested(levels, open)).faults).toEqual([expect.stringMatching(fault)]);
  }
});

it('maps below maps have as many levels', () => {
  const maps = (levels: number) =>
    Array.from({ length: levels }, (_, at) => `${' '.repeat(at)}a:`).join('\n');
  expect(read(maps(LEVELS_MAX)).faults).toEqual([]);
  expect(read(maps(LEVELS_MAX + 1)).faults).toEqual([
    expect.stringMatching(/^is nested in more than 20 levels/),
  ]);
});

it('aliases have a largest number, and expand to a bounded size', () => {
  const aliases = (many: number) => {
    const anchors = Array.from({ length: ALIASES_MAX / 50 + 1 }, (_, at) => `- &a${at} x`);
    return [...anchors, ...Array.from({ length: many }, (_, at) => `- *a${Math.floor(at / 50)}`)].join('\n');
  };
  expect(read(aliases(ALIASES_MAX)).faults).toEqual([]);
  expect(read(aliases(ALIASES_MAX + 1)).faults).toEqual([
    'has more than 1000 aliases (*name) at line 1022, column 3',
  ]);
  const laughs = Array.from({ length: 30 }, (_, at) => `a${at}: &a${at} [${`*a${at - 1},`.repeat(9)}]`);
  laughs[0] = 'a0: &a0 lol';
  expect(read(laughs.join('\n')).faults).toEqual([expect.stringMatching(/expands to too much$/)]);
});

it('a map may have many keys, each only once', () => {
  const text = Array.from({ length: 3_000 }, (_, at) => `n${at}: 1`).join('\n');
  expect(read(`${text}\nlast: 1`).faults).toEqual([]);
  expect(read(`${text}\nn0: 1`).faults).toEqual(['is not plain YAML: DUPLICATE_KEY at line 3001, column 1']);
});

it.each([
  ['a byte order mark', '\ufeffa: [1]\n'],
  ['line ends of Windows', 'a:\r\n  - 1\r\n'],
  ['a tab after a colon', 'a:\t[1]'],
  ['both markers of a document', '---\na: [1]\n...\n'],
])('%s is fine', (_, text) => {
  expect(read(text)).toEqual({ content: { a: [1] }, faults: [] });
});

it('a tab is no indentation, and an anchor may refer to itself', () => {
  expect(read('a:\n\tb: 1').faults).toEqual(['is not plain YAML: TAB_AS_INDENT at line 2, column 1']);
  expect(read('a: &a [*a]').faults).toEqual([]);
});
