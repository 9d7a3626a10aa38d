import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CLIENT_VARIABLES, variablesIn, variablesRead } from '../support/variables-read.js';

// The house rules as a test, except those of the linter and of imports. The linter's are in biome.json, and
// house-lint.test.ts shows that they fire. imports.test.ts compares the imports with their table.

const LINES_MAX = 350;
const PAGE_LINES_MAX = 120;
/** The integration suites start them as processes, so no suite imports them. */
const STARTED_AS_PROCESS = ['main', 'main-process', 'worker', 'fatal', 'app', 'cli'].map(
  (name) => `src/${name}.ts`,
);

const tracked = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { encoding: 'utf8' })
  .split('\n')
  // A chart has links to the folders of Kustomize, and the list already has their files.
  .filter((path) => path !== '' && existsSync(path) && statSync(path).isFile());
const text = (path: string) => readFileSync(path, 'utf8');
const isGenerated = (path: string) => path.split('/').includes('generated');
const written = tracked.filter((path) => !isGenerated(path) && !path.endsWith('package-lock.json'));
const sources = written.filter((path) => path.startsWith('src/') && path.endsWith('.ts'));
const tests = written.filter((path) => path.endsWith('.test.ts') || path.startsWith('test/contract/'));

/** Returns the code without comments, because comments can name what code must not use. */
function codeOf(path: string): string {
  return text(path)
    .replaceAll(/\/\*[\s\S]*?\*\//g, '')
    .replaceAll(/^\s*\/\/.*$/gm, '');
}

/** Returns `path:line: the line` for each line of `paths` that `pattern` matches. */
function linesWith(pattern: RegExp, paths: string[], read: (path: string) => string = text): string[] {
  return paths.flatMap((path) =>
    read(path)
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
  );
}

/** Whether a file has code that runs, and not only types. */
function hasLogic(path: string): boolean {
  return /(\bfunction\b|=>\s*[{(\w]|\bconstructor\b)/.test(
    codeOf(path)
      .replaceAll(/^(export )?(type|interface)\b[\s\S]*?^(\}|.*;)$/gm, '')
      .replaceAll(/\b\w+\(.*\): [^{]*;$/gm, ''),
  );
}

describe('the house', () => {
  it('has rooms named after what they do, and no barrel', () => {
    const drawers = tracked.filter((path) => /(^|\/)(utils?|types|helpers|common|misc|lib)\//.test(path));
    expect(drawers).toEqual([]);
    expect(sources.filter((path) => path.endsWith('/index.ts'))).toEqual([]);
  });

  it('has files of at most 350 lines', () => {
    const long = written
      .filter((path) => /\.(ts|mjs|js|css|html|lua)$/.test(path))
      .map((path) => ({ path, lines: text(path).split('\n').length - 1 }))
      .filter(({ lines }) => lines > LINES_MAX);
    expect(long).toEqual([]);
  });

  it('has pages of at most two screens, except the README, the changelog and the table of bugs', () => {
    const long = written
      .filter((path) => path.endsWith('.md') && !['README.md', 'CHANGELOG.md', 'test/bugs.md'].includes(path))
      .map((path) => ({ path, lines: text(path).split('\n').length - 1 }))
      .filter(({ lines }) => lines > PAGE_LINES_MAX);
    expect(long).toEqual([]);
  });

  it('uses time and chance only through ports in the rooms that are simulated', () => {
    const ruled = sources.filter((path) => /^src\/(coordination|quorum|memory)\//.test(path));
    expect(ruled.length).toBeGreaterThan(0);
    const runtime =
      /\b(Date\.now|new Date|performance\.|hrtime|Math\.random|random(UUID|Bytes|Int)|setTimeout|setInterval|setImmediate)\b/;
    expect(linesWith(runtime, ruled, codeOf)).toEqual([]);
  });

  it('has no marks of unfinished work and skips no test', () => {
    const marks = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'HA' + 'CK', 'X'.repeat(3)].join('|')})\\b`);
    const code = written.filter((path) => /\.(ts|mjs|lua|proto|json|ya?ml|md)$/.test(path));
    expect(linesWith(marks, code)).toEqual([]);
    expect(linesWith(/\b(it|test|describe)\.(skip|only|todo|fails)\(/, tests)).toEqual([]);
  });

  it('names no registry and no machine path', () => {
    const hosts = ['registry.npm' + 'js', 'pypi' + '.org', 'proxy.go' + 'lang', 'deb.deb' + 'ian'];
    const homes = ['wo' + 'rk', 'ro' + 'ot', 'ho' + 'me', 'Us' + 'ers'].map(
      (name) => `(^|[\\s"'\`(=])/${name}/`,
    );
    const named = new RegExp([...hosts.map((host) => host.replaceAll('.', '\\.')), ...homes].join('|'));
    const textual = tracked.filter((path) => !/\.(binpb|png|ico)$/.test(path));
    expect(linesWith(named, textual)).toEqual([]);
  });

  it('has a suite for every file with logic: its mirror, or one that imports a file of its room that uses it', () => {
    const mirrorOf = (path: string) => path.replace(/^src/, 'test/unit').replace(/\.ts$/, '.test.ts');
    const reached = new Set(
      tests.flatMap((path) => [...text(path).matchAll(/(src\/[\w./-]+)\.js'/g)].map(([, it]) => `${it}.ts`)),
    );
    // The loop also visits what it adds to the set.
    for (const path of reached) {
      if (!existsSync(path)) continue;
      const room = /^src\/([\w-]+)\//.exec(path)?.[1];
      for (const [, specifier = ''] of text(path).matchAll(/from '(\.[\w./-]+)\.js'/g)) {
        const target = `${posix.join(posix.dirname(path), specifier)}.ts`;
        const isInRoom =
          room === undefined ? posix.dirname(target) === 'src' : target.startsWith(`src/${room}/`);
        if (isInRoom) reached.add(target);
      }
    }
    const without = sources.filter(
      (path) =>
        hasLogic(path) &&
        !existsSync(mirrorOf(path)) &&
        !reached.has(path) &&
        !STARTED_AS_PROCESS.includes(path),
    );
    expect(without).toEqual([]);
  });

  it('closes raw HTTP/2 connections in one place, because at the wrong moment that ends the process', () => {
    const clients = written.filter(
      (path) => path.endsWith('.ts') && path !== 'test/support/http2-connection.ts',
    );
    expect(linesWith(/import \{.*\bconnect\b.*\} from 'node:http2'/, clients)).toEqual([]);
  });

  it('has a room for every folder of unit tests', () => {
    const rooms = tests.flatMap((path) => /^test\/unit\/([\w-]+)\//.exec(path)?.[1] ?? []);
    expect([...new Set(rooms)].filter((room) => !existsSync(`src/${room}`))).toEqual([]);
  });

  it('documents the variables that it reads, and no others', () => {
    const read = new Set([...variablesRead(), ...CLIENT_VARIABLES]);
    const documented = new Set(variablesIn('deploy/operations/configuration.md'));
    expect([...read].filter((name) => !documented.has(name))).toEqual([]);
    expect([...documented].filter((name) => !read.has(name))).toEqual([]);
  });

  it('documents every metric', () => {
    const metrics = new Set(text('src/telemetry/names.ts').match(/\bdibs_[a-z_]+[a-z]\b/g) ?? []);
    expect(metrics.size).toBeGreaterThan(0);
    const page = text('deploy/operations/metrics.md');
    expect([...metrics].filter((name) => !page.includes(name))).toEqual([]);
  });
});
