import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

// Git merges the bug table row by row (`merge=union` in .gitattributes) and reports no conflict. These tests catch what
// can go wrong.

const TABLE = 'test/bugs.md';
const rowsOf = (page: string) =>
  readFileSync(page, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .slice(2)
    .map((line) => line.slice(2, -2).split(' | '));

describe('the bug table', () => {
  const rows = rowsOf(TABLE);

  it('has five cells in each row, and each bug once', () => {
    expect(rows.filter((cells) => cells.length !== 5 || cells.some((cell) => cell.trim() === ''))).toEqual(
      [],
    );
    const bugs = rows.map(([, , what]) => what);
    expect(bugs.filter((bug, index) => bugs.indexOf(bug) !== index)).toEqual([]);
  });

  it('has a whole command in each row, and its suite exists', () => {
    const shownBy = rows.map((cells) => cells[3] ?? '');
    expect(shownBy.filter((command) => !/^`.+`$/.test(command))).toEqual([]);
    const suites = shownBy.flatMap((command) => command.match(/\b[\w/-]+\.test\.ts\b/g) ?? []);
    expect(suites.length).toBeGreaterThan(50);
    expect(suites.filter((suite) => !existsSync(suite))).toEqual([]);
  });

  it('has no rows on its former page', () => {
    expect(rowsOf('test/README.md').filter((cells) => cells.length === 5)).toEqual([]);
  });
});
