import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DOMAIN, FILES, PORTS, ROOMS } from './import-rules.js';

interface Import {
  readonly specifier: string;
  readonly typeOnly: boolean;
}

const IMPORT =
  /^\s*(?:import|export)\b(?<type> type\b)?(?:[^'";]*?\bfrom)?\s*'(?<from>[^']+)'|\bimport\('(?<lazy>[^']+)'\)/gm;

function importsOf(text: string): Import[] {
  const code = text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/^\s*\/\/.*$/gm, '');
  return [...code.matchAll(IMPORT)].map(({ groups }) => ({
    specifier: groups?.from ?? groups?.lazy ?? '',
    typeOnly: groups?.type !== undefined,
  }));
}

/** The room of `src/grpc/session/session.ts` is `grpc`. A file directly in `src` has none. */
const roomOf = (path: string) => /^src\/([\w-]+)\//.exec(path)?.[1];
const nameOf = (path: string) => path.replace(/^src\//, '').replace(/\.[jt]s$/, '');

/** Returns the floor of a room of the domain. Files directly in `coordination` are above all rooms. */
function floorOf(path: string): number {
  const [, room] = /^(?:src\/)?coordination\/([\w-]+)\//.exec(path) ?? [];
  return room === undefined ? DOMAIN.length : DOMAIN.indexOf(room);
}

function mayImport(path: string, { specifier, typeOnly }: Import): boolean {
  const room = roomOf(path);
  const rules = room === undefined ? FILES[nameOf(path)] : ROOMS[room];
  if (!specifier.startsWith('.')) {
    const packages = rules?.packages ?? ['node:'];
    const isUnder = (it: string) => (/[:/]$/.test(it) ? specifier.startsWith(it) : specifier === it);
    return packages.some(isUnder);
  }
  if (room === undefined && rules === undefined) return true;
  const target = posix.join(posix.dirname(path), specifier);
  if (room === 'coordination' && target.startsWith('src/coordination/'))
    return floorOf(target) <= floorOf(path);
  if (room !== undefined && target.startsWith(`src/${room}/`)) return true;
  const name = nameOf(target);
  if (rules?.imports.some((it) => name === it || name.startsWith(`${it}/`))) return true;
  const seesPorts = room !== undefined && room !== 'coordination' && room !== 'cli';
  return typeOnly && seesPorts && PORTS.includes(name);
}

const sources = execFileSync('git', ['ls-files', '-co', '--exclude-standard', 'src/*.ts'], {
  encoding: 'utf8',
})
  .split('\n')
  .filter((path) => path !== '' && existsSync(path));

const domainRooms = () =>
  [...new Set(sources.flatMap((path) => /^src\/coordination\/([\w-]+)\//.exec(path)?.[1] ?? []))].sort();

describe('imports', () => {
  it('are all allowed by the table', () => {
    const forbidden = sources.flatMap((path) =>
      importsOf(readFileSync(path, 'utf8'))
        .filter((it) => !mayImport(path, it))
        .map(({ specifier, typeOnly }) => `${path}: import ${typeOnly ? 'type ' : ''}'${specifier}'`),
    );
    expect(forbidden).toEqual([]);
  });

  it('are found in every form', () => {
    const text = `
import 'a';
import b from 'b';
import type { C } from 'c';
import {
  type D,
  d,
} from 'd';
export { e } from 'e';
export type { F } from 'f';
const g = () => import('g');
// import 'comment';
`;
    const types = new Set(['c', 'f']);
    const all = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
    expect(importsOf(text)).toEqual(all.map((specifier) => ({ specifier, typeOnly: types.has(specifier) })));
  });

  it('in the table name existing rooms and files', () => {
    const rooms = new Set(sources.flatMap((path) => roomOf(path) ?? []));
    expect([...rooms].filter((room) => ROOMS[room] === undefined)).toEqual([]);
    expect([...DOMAIN].sort()).toEqual(domainRooms());
    const isThere = (name: string) => existsSync(`src/${name}`) || existsSync(`src/${name}.ts`);
    const named = [...Object.values(ROOMS), ...Object.values(FILES)].flatMap(({ imports }) => imports);
    expect(
      [...Object.keys(ROOMS), ...Object.keys(FILES), ...PORTS, ...named].filter((it) => !isThere(it)),
    ).toEqual([]);
  });
});

describe('the table', () => {
  const value = (specifier: string) => ({ specifier, typeOnly: false });
  const type = (specifier: string) => ({ specifier, typeOnly: true });

  it.each([
    ['src/coordination/a.ts', value('node:fs')],
    ['src/coordination/a.ts', value('ioredis')],
    ['src/coordination/a.ts', type('../redis/keys.js')],
    ['src/coordination/a.ts', type('../access/guard.js')],
    ['src/coordination/reading/a.ts', value('../../app.js')],
    ['src/coordination/reading/a.ts', type('../leasing/drift.js')],
    ['src/coordination/words/a.ts', type('../coordinator.js')],
    ['src/grpc/a.ts', value('../redis/keys.js')],
    ['src/grpc/a.ts', value('../access/guard.js')],
    ['src/grpc/a.ts', type('../access/access.js')],
    ['src/grpc/session/a.ts', value('../../http/server.js')],
    ['src/grpc/a.ts', value('../app.js')],
    ['src/grpc/a.ts', type('../config/config.js')],
    ['src/grpc/a.ts', value('pino')],
    ['src/http/a.ts', value('@grpc/grpc-js')],
    ['src/memory/a.ts', value('node:fs')],
    ['src/redis/a.ts', value('redlock')],
    ['src/quorum/a.ts', value('../cli/table.js')],
    ['src/cli/a.ts', value('../coordination/clock.js')],
    ['src/cli/a.ts', type('../access/guard.js')],
    ['src/cli/a.ts', value('../grpc/calls.js')],
    ['src/config/a.ts', value('../grpc/calls.js')],
    ['src/main.ts', value('./grpc/calls.js')],
    ['src/cli.ts', value('./app.js')],
    ['src/app.ts', value('ioredis')],
  ])('forbids %s to import %o', (path, it) => {
    expect(mayImport(path, it)).toBe(false);
  });

  it.each([
    ['src/coordination/waiting/a.ts', value('../reading/changes.js')],
    ['src/coordination/coordinator.ts', value('./waiting/key-loops.js')],
    ['src/grpc/session/a.ts', value('../../coordination/clock.js')],
    ['src/grpc/a.ts', type('../access/guard.js')],
    ['src/grpc/a.ts', value('@bufbuild/protobuf/wire')],
    ['src/config/a.ts', value('../access/identity.js')],
    ['src/cli/a.ts', value('../grpc/generated/dibs/v1/coordinator.js')],
    ['src/main.ts', value('./config/config.js')],
    ['src/app.ts', value('./grpc/calls.js')],
  ])('allows %s to import %o', (path, it) => {
    expect(mayImport(path, it)).toBe(true);
  });
});
