import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

// The linter's configuration is code too: a rule that never fires protects nothing. One run over a made-up tree shows
// that each house rule catches its offender and accepts correct code.

const importOf = (specifier: string) => `import * as it from '${specifier}';\nexport const used = it;\n`;

/** Path in the made-up tree → its text. `bad` names the rule that must fire. No rule may fire for `good`. */
const bad = new Map<string, { rule: string; text: string }>();
const good = new Map<string, string>();

function forbid(path: string, rule: string, text: string) {
  bad.set(path, { rule, text });
}

good.set('src/grpc/thing.ts', 'export const thing = 1;\n');
good.set('src/grpc/wants-thing.ts', importOf('./thing.js'));
forbid('src/grpc/circle.ts', 'lint/suspicious/noImportCycles', importOf('./circle-two.js'));
forbid('src/grpc/circle-two.ts', 'lint/suspicious/noImportCycles', importOf('./circle.js'));
forbid(
  'src/grpc/floats.ts',
  'lint/nursery/noFloatingPromises',
  `async function work(): Promise<void> {}\nexport function start(): void {\n  work();\n}\n`,
);
forbid('src/grpc/anything.ts', 'lint/suspicious/noExplicitAny', 'export const a: any = 1;\n');
forbid('src/grpc/barrel.ts', 'lint/performance/noBarrelFile', `export * from './thing.js';\n`);
forbid('src/grpc/default.ts', 'lint/style/noDefaultExport', 'export default 1;\n');
forbid('src/grpc/talks.ts', 'lint/suspicious/noConsole', `console.log('hello');\n`);
forbid('src/grpc/camelCase.ts', 'lint/style/useFilenamingConvention', 'export const a = 1;\n');
forbid(
  'src/grpc/undeclared.ts',
  'lint/correctness/noUndeclaredDependencies',
  `import it from '@grpc/undeclared';\nexport const a = it;\n`,
);
forbid(
  'src/grpc/type-import.ts',
  'lint/style/useImportType',
  `import { thing } from './thing.js';\nexport type Thing = typeof thing;\n`,
);
forbid(
  'src/grpc/long.ts',
  'lint/complexity/noExcessiveLinesPerFunction',
  `export function long(): number {\n  let n = 0;\n${'  n += 1;\n'.repeat(80)}  return n;\n}\n`,
);

describe('the linter', () => {
  const tree = mkdtempSync(join(tmpdir(), 'dibs-lint-'));
  const fired = new Map<string, Set<string>>();

  beforeAll(() => {
    const write = (path: string, text: string) => {
      mkdirSync(dirname(join(tree, path)), { recursive: true });
      writeFileSync(join(tree, path), text);
    };
    for (const [path, { text }] of bad) write(path, text);
    for (const [path, text] of good) write(path, text);
    const config = JSON.parse(readFileSync('biome.json', 'utf8'));
    // The made-up tree is not a git repository.
    delete config.vcs;
    delete config.$schema;
    write('biome.json', JSON.stringify(config));
    write('package.json', readFileSync('package.json', 'utf8'));
    write('tsconfig.json', readFileSync('tsconfig.json', 'utf8'));
    symlinkSync(resolve('node_modules'), join(tree, 'node_modules'));

    const lint = spawnSync(
      resolve('node_modules/.bin/biome'),
      ['lint', '--reporter=json', '--max-diagnostics=none', 'src'],
      { cwd: tree, encoding: 'utf8', maxBuffer: 1 << 26 },
    );
    const report: { diagnostics: { category: string; location: { path: string } }[] } = JSON.parse(
      lint.stdout,
    );
    for (const { category, location } of report.diagnostics) {
      const rules = fired.get(location.path) ?? new Set();
      fired.set(location.path, rules.add(category));
    }
  });
  afterAll(() => rmSync(tree, { recursive: true, force: true }));

  it('catches each offender', () => {
    const missed = [...bad].filter(([path, { rule }]) => !fired.get(path)?.has(rule));
    expect(missed.map(([path, { rule }]) => `${path} should be caught by ${rule}`)).toEqual([]);
  });

  it('accepts what the house allows', () => {
    const caught = [...good.keys()].filter((path) => fired.has(path));
    expect(caught.map((path) => `${path}: ${[...(fired.get(path) ?? [])].join(', ')}`)).toEqual([]);
  });
});
