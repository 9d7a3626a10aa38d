import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const FOLDER = 'test/integration/situations';

it('each situation of the table is a test, under the same name', () => {
  const rows = [...readFileSync(join(FOLDER, 'README.md'), 'utf8').matchAll(/^\| ([^|]+?) \|/gm)];
  const situations = rows.map(([, name]) => name).filter((name) => name !== 'situation' && name !== '---');
  expect(situations.length).toBeGreaterThan(5);
  const tests = readdirSync(FOLDER)
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => readFileSync(join(FOLDER, name), 'utf8'))
    .join('\n');
  expect(situations.filter((name) => !tests.includes(`'${name}'`))).toEqual([]);
});
