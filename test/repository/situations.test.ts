import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const FOLDER = 'test/integration/situations';

/** Returns all files of the folder with this ending as one text. */
function textOf(ending: string): string {
  const names = readdirSync(FOLDER).filter((name) => name.endsWith(ending));
  return names.map((name) => readFileSync(join(FOLDER, name), 'utf8')).join('\n');
}

it('each situation of the tables is a test of the same name', () => {
  const tables = textOf('.md').matchAll(/^\| situation \|.*\n\| ---.*\n((?:\|.*\n)+)/gm);
  const rows = [...tables].flatMap(([, table = '']) => [...table.matchAll(/^\| ([^|]+?) \|/gm)]);
  const situations = rows.map(([, name]) => name);
  expect(situations.length).toBeGreaterThan(50);
  const tests = textOf('.test.ts');
  expect(situations.filter((name) => !tests.includes(`'${name}'`))).toEqual([]);
});
