import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import * as lockScripts from '../../../src/redis/lock-scripts.js';
import * as namespaceScripts from '../../../src/redis/namespace-scripts.js';
import { Script } from '../../../src/redis/script.js';
import * as valueScripts from '../../../src/redis/value-scripts.js';

/** Every module that declares scripts. */
const modules: Record<string, unknown>[] = [lockScripts, namespaceScripts, valueScripts];

const folder = new URL('../../../src/redis/scripts/', import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith('.lua'));
const declared = modules.flatMap((module) => Object.values(module)).filter((it) => it instanceof Script);

/**
 * Parses the header of a script: a first line `-- NAME: purpose.`, then the sections KEYS, ARGV and Reply. A named key
 * or argument is `--   NUMBER NAME  meaning`; more lines of its meaning are indented deeper.
 */
function parseHeader(source: string) {
  const lines = source.split('\n');
  const end = lines.findIndex((line) => !line.startsWith('--'));
  const header = lines.slice(0, end);
  const section = (title: string): string[] => {
    const from = header.indexOf(`-- ${title}`);
    if (from < 0) return [];
    const rest = header.slice(from + 1);
    const to = rest.findIndex((line) => line === '--' || /^-- \S/.test(line));
    return to < 0 ? rest : rest.slice(0, to);
  };
  const named = (title: string) =>
    section(title).flatMap((line) => {
      const match = /^-- {3}(\d+) (\S+) {2,}(\S.*)$/.exec(line);
      return match ? [{ number: Number(match[1]), name: match[2] }] : [];
    });
  return {
    title: header[0] ?? '',
    keys: named('KEYS'),
    args: named('ARGV'),
    reply: section('Reply'),
    body: lines.slice(end).join('\n'),
  };
}

/** The numbers n of every `KEYS[n]` or `ARGV[n]` in the body. */
function used(body: string, table: 'KEYS' | 'ARGV'): number[] {
  const numbers = [...body.matchAll(new RegExp(`${table}\\[(\\d+)\\]`, 'g'))].map((match) =>
    Number(match[1]),
  );
  return [...new Set(numbers)].sort((a, b) => a - b);
}

test('every script file has one caller, and every caller a file', () => {
  expect(declared.map((script) => `${script.name}.lua`).sort()).toEqual(files.sort());
});

describe.each(files)('%s', (file) => {
  const source = readFileSync(new URL(file, folder), 'utf8');
  const header = parseHeader(source);
  const script = declared.find(({ name }) => `${name}.lua` === file);

  test('begins with its own name and a purpose', () => {
    expect(header.title).toMatch(new RegExp(`^-- ${file.replace('.lua', '')}: \\S.*`));
  });

  test('documents its replies', () => {
    expect(header.reply.length).toBeGreaterThan(0);
  });

  test('documents its KEYS and ARGV in the order of its caller', () => {
    const numbered = (names: readonly string[] = []) => names.map((name, at) => ({ number: at + 1, name }));
    expect(header.keys).toEqual(numbered(script?.keys));
    expect(header.args).toEqual(numbered(script?.args));
  });

  test('uses exactly the KEYS and ARGV that it documents, by literal numbers', () => {
    expect(used(header.body, 'KEYS')).toEqual(header.keys.map(({ number }) => number));
    expect(used(header.body, 'ARGV')).toEqual(header.args.map(({ number }) => number));
    expect(header.body).not.toMatch(/(KEYS|ARGV)(?!\[\d+\])/);
  });
});
