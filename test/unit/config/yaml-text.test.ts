import { afterEach, expect, it, vi } from 'vitest';
import { Faults } from '../../../src/config/faults.js';
import { readYaml } from '../../../src/config/yaml-text.js';

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
  ['a: 1\na: secret', /DUPLICATE_KEY at line 2, column 1$/],
  ['a: [!secret secret-token]', /TAG_RESOLVE_FAILED at line 1, column 5$/],
  ['%secret\n---\na: 1', /BAD_DIRECTIVE at line 1, column 1$/],
  ['a: *secret', /alias/],
  ['a: 1\n---\nb: secret', /MULTIPLE_DOCS at line 2/],
  ['a: { __proto__: secret }', /has the name __proto__, which cannot be used$/],
])('%j is refused with its position, and neither quoted nor printed', (text, said) => {
  const warned = vi.spyOn(process, 'emitWarning');
  const { content, faults } = read(text);
  expect(content).toBeUndefined();
  expect(faults).toEqual([expect.stringMatching(said)]);
  expect(faults.join()).not.toMatch('secret');
  expect(warned).not.toHaveBeenCalled();
});
