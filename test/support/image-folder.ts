import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';

/** What an image of ours is: a folder that stands for its working directory, and what is run there with which variables. */
export interface ImageFolder {
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  readonly entrypoint: readonly string[];
  readonly healthcheck: readonly string[];
}

interface Stage {
  readonly folder: string;
  readonly env: Record<string, string>;
  entrypoint: readonly string[];
  healthcheck: readonly string[];
}

type Instruction = readonly [name: string, rest: string];

function instructionsOf(dockerfile: string): Instruction[] {
  const lines = dockerfile.replaceAll(/^\s*#.*\n/gm, '').replaceAll(/\\\n\s*/g, ' ');
  return lines
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [, name, rest] = /^(\w+)\s+(.*)$/.exec(line) ?? [];
      if (name === undefined || rest === undefined) throw new Error(`not an instruction: ${line}`);
      return [name, rest];
    });
}

/** The base image that a Dockerfile names by default, such as `node:26-slim`. */
export function baseImageOf(dockerfile: string): string {
  const [, image] = /^ARG NODE_IMAGE=(\S+)$/m.exec(dockerfile) ?? [];
  if (image === undefined) throw new Error('the Dockerfile has no ARG NODE_IMAGE');
  return image;
}

/**
 * Does in `folder` what `docker build` does with the Dockerfile of the repository, where there is no Docker: each stage is a
 * folder, COPY copies, and RUN runs on this machine with `env`. An instruction that it does not know is an error.
 */
export async function buildImageFolder(folder: string, env: NodeJS.ProcessEnv): Promise<ImageFolder> {
  const stages = new Map<string, Stage>();
  let stage: Stage | undefined;
  for (const [name, rest] of instructionsOf(readFileSync('Dockerfile', 'utf8'))) {
    if (name === 'FROM') {
      const [, from = '', as] = /^(?:--platform=\S+ )?(\S+)(?: AS (\w+))?$/.exec(rest) ?? [];
      stage = newStage(join(folder, as ?? 'final'), stages.get(from));
      if (as !== undefined) stages.set(as, stage);
    } else if (stage !== undefined) {
      await follow([name, rest], stage, stages, env);
    }
  }
  if (stage === undefined) throw new Error('the Dockerfile has no FROM');
  return stage;
}

function newStage(folder: string, base: Stage | undefined): Stage {
  mkdirSync(folder, { recursive: true });
  // verbatimSymlinks: the links in node_modules/.bin lead to what stands beside them.
  if (base !== undefined) cpSync(base.folder, folder, { recursive: true, verbatimSymlinks: true });
  return { folder, env: { ...base?.env }, entrypoint: [], healthcheck: [] };
}

async function follow(
  [name, rest]: Instruction,
  stage: Stage,
  stages: ReadonlyMap<string, Stage>,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  // The system below Node: this machine has its own.
  if (rest.includes('/rootfs')) return;
  switch (name) {
    case 'ARG':
    case 'LABEL':
    case 'USER':
    case 'EXPOSE':
      return; // What Docker does with them shows in no file.
    case 'WORKDIR':
      if (rest !== '/app') throw new Error(`WORKDIR ${rest}: each stage's folder stands for /app`);
      return;
    case 'ENV':
      for (const pair of rest.split(/\s+/))
        stage.env[pair.split('=')[0] ?? ''] = pair.slice(pair.indexOf('=') + 1);
      return;
    case 'COPY':
      return copy(rest, stage, stages);
    case 'RUN': {
      // npm has a cache of its own here.
      const command = rest.replaceAll(/--mount=\S+\s+|--cache=\S+\s+/g, '');
      await promisify(execFile)('sh', ['-c', command], { cwd: stage.folder, env });
      return;
    }
    case 'ENTRYPOINT':
      stage.entrypoint = JSON.parse(rest);
      return;
    case 'HEALTHCHECK':
      stage.healthcheck = JSON.parse(rest.slice(rest.indexOf('CMD ') + 'CMD '.length));
      return;
    default:
      throw new Error(`${name}: do here what Docker does with it`);
  }
}

/** Several sources, or a target that ends in a slash: into it, by their names. One source that is a folder: what is in it. */
function copy(rest: string, stage: Stage, stages: ReadonlyMap<string, Stage>): void {
  const [, from, paths = ''] = /^(?:--from=(\w+) )?(.*)$/.exec(rest) ?? [];
  const source = from === undefined ? '.' : stages.get(from)?.folder;
  if (source === undefined) throw new Error(`COPY --from=${from}: there is no such stage`);
  const names = paths.split(/\s+/);
  const target = names.pop() ?? '';
  for (const name of names) {
    const inside = target.endsWith('/') ? join(target, basename(name)) : target;
    const path = from === undefined ? join(source, name) : join(source, name.replace(/^\/app\//, ''));
    cpSync(path, join(stage.folder, inside), { recursive: true, verbatimSymlinks: true });
  }
}
