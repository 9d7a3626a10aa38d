import { spawnSync } from 'node:child_process';

/** One column of the matrix: a language, and how its client calls the service. */
export interface Column {
  readonly name: string;
  readonly language: string;
  readonly session: boolean;
  readonly bareLoop: boolean;
}

/** A language's client: how its adapter is started, and which tools it needs. */
export interface Language {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  readonly needs: readonly (readonly [string, ...string[]])[];
  /** Builds its adapter and examples, if they are not built yet. TypeScript's are built with this program. */
  readonly build?: readonly [string, ...string[]];
  /** Whether its client can use sessions. */
  readonly sessions: boolean;
  /** The language has no client, only a program over generated stubs, which plays the scenarios of the bare loop. */
  readonly bareLoop?: true;
}

const tasks = (folder: string, task: string) => [`clients/${folder}/tasks.sh`, task] as const;

export const LANGUAGES: readonly Language[] = [
  {
    name: 'typescript',
    command: [process.execPath, 'clients/typescript/conformance/dist/conformance/adapter.js'],
    needs: [],
    sessions: true,
  },
  {
    name: 'go',
    command: tasks('go', 'adapter'),
    build: tasks('go', 'build'),
    needs: [['go', 'version']],
    sessions: true,
  },
  {
    name: 'python',
    command: tasks('python', 'adapter'),
    build: tasks('python', 'build'),
    needs: [['python3', '-c', 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))']],
    sessions: true,
  },
  {
    name: 'java',
    command: tasks('java', 'adapter'),
    build: tasks('java', 'build'),
    needs: [
      ['javac', '--version'],
      ['mvn', '--version'],
    ],
    sessions: true,
  },
  {
    name: 'rust',
    command: tasks('rust', 'adapter'),
    build: tasks('rust', 'build'),
    needs: [['cargo', '--version']],
    sessions: true,
  },
];

/** Any other language: `clients/any-language.md` in C++, with Debian's packages. */
export const ANY_LANGUAGE: Language = {
  name: 'c++',
  command: tasks('any-language', 'adapter'),
  build: tasks('any-language', 'build'),
  needs: [
    ['g++', '--version'],
    ['protoc', '--version'],
    ['pkg-config', '--exists', 'grpc++', 'protobuf'],
    ['which', 'grpc_cpp_plugin'],
  ],
  sessions: false,
  bareLoop: true,
};

/** Each language with sessions, if it has them, and with unary calls. */
export function columnsOf(languages: readonly Language[]): Column[] {
  return languages.flatMap(({ name, sessions, bareLoop = false }) => {
    const unary = { name: sessions ? `${name} unary` : name, language: name, session: false, bareLoop };
    return sessions ? [{ name, language: name, session: true, bareLoop }, unary] : [unary];
  });
}

/** The first command of the language's tools that fails; undefined if none does. */
export function missingFor({ needs }: Language): string | undefined {
  const missing = needs.find(([command, ...args]) => spawnSync(command, args).status !== 0);
  return missing === undefined ? undefined : missing.join(' ');
}

/** Builds the adapter, so that a run does not depend on earlier ones. Quick if nothing changed. Throws on failure. */
export function buildAdapter({ name, build }: Language): void {
  if (build === undefined) return;
  const [command, ...args] = build;
  const { status } = spawnSync(command, args, { stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error(`the adapter of ${name} could not be built; the output is above`);
}
