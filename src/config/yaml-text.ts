import { isScalar, LineCounter, parseDocument, visit } from 'yaml';
import type { Faults } from './faults.js';

/**
 * The content of a YAML file; undefined if it adds a fault. Warnings are faults too: the library's `parse` prints them
 * to standard error by itself. Its messages quote the file, which may contain a token, so a fault only says where.
 */
export function readYaml(text: string, faults: Faults): unknown {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { logLevel: 'error', prettyErrors: false, lineCounter });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem !== undefined) {
    const { line, col } = lineCounter.linePos(problem.pos[0]);
    faults.add('', `is not plain YAML: ${problem.code} at line ${line}, column ${col}`);
    return undefined;
  }
  // What checks the content would leave this name out without a word.
  let isHidden = false;
  visit(document, {
    Pair: (_, { key }) => {
      isHidden ||= isScalar(key) && key.value === '__proto__';
    },
  });
  if (isHidden) {
    faults.add('', 'has the name __proto__, which cannot be used');
    return undefined;
  }
  try {
    return document.toJS() ?? {};
  } catch {
    // Aliases are resolved only here.
    faults.add('', 'is not plain YAML: an alias (*name) has no anchor, or expands to too much');
    return undefined;
  }
}
