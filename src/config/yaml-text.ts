import { Composer, type Document, isScalar, Lexer, LineCounter, Parser, visit, type YAMLMap } from 'yaml';
import type { Faults } from './faults.js';

/**
 * These files need five levels. The library calls itself for each level. Close to the end of the stack, that can end
 * the process: V8 compiles a regular expression there, and has no error for a stack that is too small.
 */
export const LEVELS_MAX = 20;
/** Each is compared with all anchors. */
export const ALIASES_MAX = 1_000;

/** A fault whose place in the file is known. */
class Refused extends Error {
  constructor(
    readonly what: string,
    readonly offset: number,
  ) {
    super(what);
  }
}

/**
 * The content of a YAML file; undefined if it adds a fault. Warnings are faults too: the library's `parse` prints them
 * to standard error by itself. Its messages quote the file, which may contain a token, so a fault only says where.
 */
export function readYaml(text: string, faults: Faults): unknown {
  const lines = new LineCounter();
  try {
    const document = documentOf(text, lines);
    checkNames(document);
    return document?.toJS() ?? {};
  } catch (error) {
    if (error instanceof Refused) {
      const { line, col } = lines.linePos(error.offset);
      faults.add('', `${error.what} at line ${line}, column ${col}`);
    } else {
      // Aliases are resolved only at the end.
      faults.add('', 'is not plain YAML: an alias (*name) has no anchor, or expands to too much');
    }
    return undefined;
  }
}

/** The only document; undefined if there is none. */
function documentOf(text: string, lines: LineCounter): Document.Parsed | undefined {
  // The library compares each key of a map with all others, which takes seconds for 10,000.
  const composer = new Composer({ logLevel: 'error', prettyErrors: false, uniqueKeys: false });
  let first: Document.Parsed | undefined;
  for (const document of composer.compose(tokensOf(text, lines), true, text.length)) {
    if (first !== undefined) throw notPlain('MULTIPLE_DOCS', document.range[0]);
    const problem = document.errors[0] ?? document.warnings[0];
    if (problem !== undefined) throw notPlain(problem.code, problem.pos[0]);
    first = document;
  }
  return first;
}

/** The tokens of the file, as long as it is not nested too deeply: the parser itself keeps its levels in a list. */
function* tokensOf(text: string, lines: LineCounter) {
  const parser = new Parser(lines.addNewLine);
  lines.addNewLine(0);
  for (const lexeme of new Lexer().lex(text)) {
    yield* parser.next(lexeme);
    // The document is one too, and so is what is read last.
    if (parser.stack.length <= LEVELS_MAX + 1) continue;
    const levels = parser.stack.filter(({ type }) => COLLECTIONS.has(type)).length;
    if (levels > LEVELS_MAX)
      throw new Refused(`is nested in more than ${LEVELS_MAX} levels`, parser.offset - 1);
  }
  yield* parser.end();
}

const COLLECTIONS: ReadonlySet<string> = new Set(['block-map', 'block-seq', 'flow-collection']);

function checkNames(document: Document.Parsed | undefined): void {
  let aliases = 0;
  if (document === undefined) return;
  visit(document, {
    Alias: (_, { range }) => {
      aliases += 1;
      if (aliases > ALIASES_MAX)
        throw new Refused(`has more than ${ALIASES_MAX} aliases (*name)`, range?.[0] ?? 0);
    },
    Map: (_, map) => checkKeys(map),
  });
}

function checkKeys({ items }: YAMLMap): void {
  const seen = new Set<unknown>();
  for (const { key } of items) {
    if (!isScalar(key)) continue;
    // The checks of the content would silently leave this name out.
    if (key.value === '__proto__')
      throw new Refused('has the name __proto__, which cannot be used,', offsetOf(key));
    if (seen.has(key.value)) throw notPlain('DUPLICATE_KEY', offsetOf(key));
    seen.add(key.value);
  }
}

function offsetOf({ range }: { readonly range?: readonly number[] | null | undefined }): number {
  return range?.[0] ?? 0;
}

function notPlain(code: string, offset: number): Refused {
  return new Refused(`is not plain YAML: ${code}`, offset);
}
