// Generates the table of features in `clients/README.md` from `clients/parity.yaml`. Each cell names public symbols,
// and this program finds each of them in the client's code. Each row may name scenarios of the conformance suite: each
// client of the row must play them, and none may be a known failure. `--check` only compares, and exits with 1 if the
// table differs.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse, parseAllDocuments } from 'yaml';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const PAGE = 'clients/README.md';
const MARKS = ['<!-- Made by `node .ci/parity.mjs` from parity.yaml. -->\n', '\n<!-- Until here. -->'];

/** The files of a folder that are part of users' programs. */
function sources(folder, ending, isTest = () => false) {
  return readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(ending) && !isTest(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter(
      (path) => !/[/\\](generated|v1|dibsv1|conformance|examples|tools|node_modules|dist)[/\\]/.test(path),
    )
    .map((path) => ({ path, text: readFileSync(path, 'utf8') }));
}

const escaped = (name) => name.replace(/[^\w]/g, '\\$&');

/** Top-level blocks that begin with such a line, each up to its closing line. */
function blocks(files, head, close) {
  const its = [];
  for (const { text } of files) {
    for (const { 0: line, index } of text.matchAll(new RegExp(head, 'gm'))) {
      const rest = text.slice(index + line.length);
      const end = rest.search(close);
      its.push(line + (end < 0 ? rest : rest.slice(0, end)));
    }
  }
  return its;
}

const hasLine = (texts, pattern) => texts.some((text) => new RegExp(pattern, 'm').test(text));
const textOf = (files, ending) => files.filter(({ path }) => path.endsWith(ending)).map(({ text }) => text);

/** How to find what is public in each language: a name by itself, or a member of its owner. */
export const LANGUAGES = {
  typescript: {
    files: () => sources('clients/typescript/src', '.ts'),
    name: (files, name) =>
      hasLine(textOf(files, '/dibs.ts'), `^export .*\\b${name}\\b|^ {2}(type )?${name},$`) ||
      hasLine(textOf(files, '/testing.ts'), `^export (class|function|const) ${name}\\b`),
    member: (files, owner, name) =>
      !name.startsWith('#') &&
      hasLine(
        blocks(files, `^export (abstract )?(class|interface) ${owner}\\b`, /^}/m),
        `^ {2}(readonly |async )?\\[?${escaped(name)}\\]?[<(:?]`,
      ),
  },
  go: {
    files: () => sources('clients/go', '.go', (name) => name.endsWith('_test.go')),
    name: (files, name) =>
      /^[A-Z]/.test(name) &&
      hasLine(
        files.map(({ text }) => text),
        `^func ${name}[[(]|^type ${name}\\b|^(var |const |\t)${name}\\b.* =`,
      ),
    member: (files, owner, name) =>
      /^[A-Z]/.test(name) &&
      (hasLine(
        files.map(({ text }) => text),
        `^func \\(\\w+ \\*?${owner}(\\[\\w+\\])?\\) ${name}\\(`,
      ) ||
        hasLine(blocks(files, `^type ${owner}\\b.* struct {`, /^}/m), `^\t${name}\\b`)),
  },
  python: {
    files: () => sources('clients/python/src/dibs', '.py'),
    name: (files, name) =>
      hasLine(textOf(files, '/dibs/__init__.py'), `^ {4}"${name}",$`) ||
      hasLine([...textOf(files, '/testing.py'), ...textOf(files, '/django.py')], `^class ${name}\\b`),
    /** A method, a field, or a keyword of a method, of the class or of its base classes. */
    member(files, owner, name) {
      if (name.startsWith('_')) return false;
      const its = blocks(files, `^class ${owner}\\b.*:`, /^(?=[^\s#])/m);
      if (hasLine(its, `^ {4}((async )?def ${name}\\(| {0,4}${name}: )`)) return true;
      const [, bases = ''] = /^class \w+\((.*?)\):/.exec(its[0] ?? '') ?? [];
      return bases.split(',').some((base) => {
        const [name_] = /\w+/.exec(base.trim()) ?? [];
        return name_ !== undefined && name_ !== owner && this.member(files, name_, name);
      });
    },
  },
  java: {
    files: () =>
      ['clients/java/src/main/java', 'clients/java/spring/src/main/java'].flatMap((it) =>
        sources(it, '.java'),
      ),
    name: (files, name) =>
      hasLine(
        textOf(files, `/${name}.java`),
        `^public (final |abstract |sealed )*(class|interface|record|enum) ${name}\\b`,
      ),
    member: (files, owner, name) =>
      hasLine(
        textOf(files, `/${owner}.java`),
        `^ {2}public .*\\b${name}\\(|^ {2}(default |static )?[\\w<>\\[\\], ]+ ${name}\\(.*[;{}]$`,
      ),
  },
  rust: {
    files: () => sources('clients/rust/src', '.rs'),
    name: (files, name) =>
      hasLine(textOf(files, '/src/lib.rs'), `^pub use .*\\b${name}\\b`) ||
      hasLine(textOf(files, '/src/testing.rs'), `^pub (struct|fn) ${name}\\b`),
    member: (files, owner, name) =>
      hasLine(
        blocks(files, `^impl(<.*?>)? ${owner}\\b.*{`, /^}/m),
        `^ {4}pub (async |const )?fn ${name}\\b`,
      ) ||
      hasLine(blocks(files, `^pub enum ${owner}\\b.*{`, /^}/m), `^ {4}${name}\\b`) ||
      hasLine(blocks(files, `^pub struct ${owner}\\b.*{`, /^}/m), `^ {4}pub ${name}\\b`),
  },
};

const NAMES = { typescript: 'TypeScript', go: 'Go', python: 'Python', java: 'Java', rust: 'Rust' };

/** A symbol is `Name`, `Owner.member`, or `'a text'` in the code, such as the name of a metric. */
export function stands(language, files, symbol) {
  const [, text] = /^'(.*)'$/.exec(symbol) ?? [];
  // A whole text, or the beginning of one: not a part of another name.
  if (text !== undefined)
    return hasLine(
      files.map((file) => file.text),
      `['"\`]${escaped(text)}(["'\`]|/)`,
    );
  const [owner, member] = symbol.split(/\.(.*)/);
  const { name: isPublic, member: has } = LANGUAGES[language];
  return (
    isPublic(files, owner) &&
    (member === undefined || LANGUAGES[language].member.call({ member: has }, files, owner, member))
  );
}

/** As users write it. */
function shown(language, symbol) {
  if (symbol.startsWith("'")) return `\`${symbol.slice(1, -1)}\``;
  const [owner, member] = symbol.split(/\.(.*)/);
  if (member === undefined) return `\`${owner}\``;
  return language === 'rust' && /^[A-Z]/.test(member) ? `\`${owner}::${member}\`` : `\`${member}\``;
}

export function readScenarios() {
  const folder = join(root, 'test/conformance/scenarios');
  return readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .flatMap((file) => parseAllDocuments(readFileSync(join(folder, file), 'utf8')).map((one) => one.toJS()));
}

/** Why a scenario does not show the feature in this language; undefined if it does. */
function unshown(name, language, { scenarios, knownFailures }) {
  const scenario = scenarios.find((it) => it.name === name);
  if (scenario === undefined) return 'is not a scenario';
  const isPlayed =
    scenario.languages?.includes(language) !== false && scenario.except?.[language] === undefined;
  if (!isPlayed) return `is not played by ${language}`;
  const isKnown = knownFailures.some((cell) => new RegExp(`^${escaped(name)} \\| ${language}\\b`).test(cell));
  return isKnown ? `is a known failure of ${language}` : undefined;
}

/** Claims of the rows that the code does not confirm. */
export function faultsOf(rows, tests) {
  const faults = [];
  for (const language of Object.keys(LANGUAGES)) {
    const files = LANGUAGES[language].files();
    for (const { feature, scenarios = [], ...cells } of rows) {
      const symbols = cells[language];
      if (symbols === undefined)
        faults.push(`${feature}: has no cell for ${language}. Write [] if the client has no such feature`);
      for (const symbol of symbols ?? []) {
        if (!stands(language, files, symbol))
          faults.push(`${feature}: ${symbol} is not public in ${language}`);
      }
      if ((symbols ?? []).length === 0) continue;
      for (const name of scenarios) {
        const why = unshown(name, language, tests);
        if (why !== undefined) faults.push(`${feature}: "${name}" ${why}`);
      }
    }
  }
  return faults;
}

export function tableOf(rows) {
  const languages = Object.keys(LANGUAGES);
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const cell = (language, symbols) =>
    [...new Set(symbols.map((symbol) => shown(language, symbol)))].join(', ') || 'none';
  return [
    line(['', ...languages.map((language) => NAMES[language]), 'scenarios']),
    line(Array(languages.length + 2).fill('---')),
    ...rows.map(({ feature, scenarios = [], ...cells }) =>
      line([feature, ...languages.map((it) => cell(it, cells[it])), scenarios.length || '']),
    ),
  ].join('\n');
}

export const readRows = () => parse(readFileSync(join(root, 'clients/parity.yaml'), 'utf8'));
export const readTests = () => ({
  scenarios: readScenarios(),
  knownFailures: parse(readFileSync(join(root, 'test/conformance/known-failures.yaml'), 'utf8')) ?? [],
});

function main() {
  const rows = readRows();
  const faults = faultsOf(rows, readTests());
  if (faults.length > 0) {
    console.error(`clients/parity.yaml makes claims that the code does not confirm:\n${faults.join('\n')}`);
    return 1;
  }
  const page = readFileSync(join(root, PAGE), 'utf8');
  const [from, to] = MARKS;
  const [before, rest = ''] = page.split(from);
  const after = rest.split(to)[1];
  if (after === undefined) throw new Error(`${PAGE}: the lines around the table are missing`);
  const made = `${before}${from}\n${tableOf(rows)}\n${to}${after}`;
  if (made === page) return 0;
  if (process.argv.includes('--check')) {
    console.error(`${PAGE} is not what \`node .ci/parity.mjs\` writes`);
    return 1;
  }
  writeFileSync(join(root, PAGE), made);
  return 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = main();
