import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The cache mounts of a build, such as npm's packages. Kept between runs. */
const CACHE = resolve('node_modules/.cache/image');

/** Podman's default limits are higher than some machines allow. */
const LIMITS = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1000:1000'];

/** An image's configuration. */
export interface ImageConfig {
  readonly Config: {
    readonly User: string;
    readonly Entrypoint: readonly string[];
    readonly Env: readonly string[];
    readonly Labels: Readonly<Record<string, string>>;
  };
  /** Times in nanoseconds. */
  readonly Healthcheck?: {
    readonly Test: readonly string[];
    readonly Interval: number;
    readonly StartPeriod: number;
  };
  /** In bytes. */
  readonly Size: number;
}

/** Why this machine cannot build or run images, even with the programs installed; undefined if it can. */
export function whyNoContainers(): string | undefined {
  if (process.platform !== 'linux') return 'this is not Linux';
  if (process.getuid?.() !== 0) return 'not root';
  if (spawnSync('unshare', ['--mount', '--pid', '--fork', 'true']).status !== 0) return 'no namespaces';
  return mayMakeControlGroups() ? undefined : 'no control groups';
}

/** The first missing program that images need; undefined if all are installed. */
export function missingProgram(): string | undefined {
  return ['buildah', 'podman', 'runc'].find((name) => spawnSync(name, ['--version']).status !== 0);
}

function mayMakeControlGroups(): boolean {
  try {
    rmdirSync(mkdtempSync('/sys/fs/cgroup/dibs-'));
    return true;
  } catch {
    return false;
  }
}

/**
 * Images and containers of one test, in `folder`, with buildah and podman. This needs no daemon, no registry and no
 * layered file system, so it also works in a virtual machine of continuous integration.
 */
export class Containers {
  readonly #running: Container[] = [];
  readonly #common: readonly string[];

  constructor(private readonly folder: string) {
    this.#common = [
      '--root',
      join(folder, 'root'),
      '--runroot',
      join(folder, 'run'),
      '--storage-driver',
      'vfs',
      // Their warnings would mix with what a container prints.
      '--log-level',
      'error',
    ];
    mkdirSync(CACHE, { recursive: true });
  }

  /** Makes an image of one layer from the files in `root`. */
  async imageOf(root: string, env: Readonly<Record<string, string>>, tag: string): Promise<void> {
    const container = await this.#buildah('from', 'scratch');
    await this.#buildah('copy', '--quiet', container, root, '/');
    const pairs = Object.entries(env).flatMap(([name, value]) => ['--env', `${name}=${value}`]);
    await this.#buildah('config', ...pairs, container);
    await this.#buildah('commit', '--quiet', '--rm', container, tag);
  }

  /** Builds the repository's Dockerfile. `--format docker`, because the other format has no health check. */
  async build(tag: string, args: Readonly<Record<string, string>>): Promise<void> {
    const pairs = Object.entries(args).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]);
    const how = ['--isolation', 'chroot', '--format', 'docker', '--pull=never', '--quiet'];
    await this.#buildah('build', ...how, ...LIMITS, ...pairs, '--tag', tag, '.');
  }

  async configOf(tag: string): Promise<ImageConfig> {
    return JSON.parse((await run('podman', [...this.#common, 'image', 'inspect', tag])).stdout)[0];
  }

  /** The path of its root file system. */
  async filesOf(tag: string): Promise<string> {
    return (await run('podman', [...this.#common, 'image', 'mount', tag])).stdout.trim();
  }

  /** Runs it as a cluster would: read-only root, no capabilities. It uses the host's network. */
  run(tag: string, env: Readonly<Record<string, string>>, command: readonly string[] = []): Container {
    const name = `dibs-${process.pid}-${this.#running.length}`;
    const podman = [...this.#common, '--runtime', 'runc', '--cgroup-manager', 'cgroupfs'];
    const pairs = Object.entries(env).flatMap(([key, value]) => ['--env', `${key}=${value}`]);
    const how = [
      '--read-only',
      '--read-only-tmpfs=false',
      '--cap-drop',
      'all',
      '--network',
      'host',
      '--no-healthcheck',
    ];
    // It also ends when this process is killed. Inside another container, a limit on its processes cannot be set.
    const limits = [...LIMITS, '--timeout', '300', '--pids-limit=-1'];
    const safe = ['--security-opt', 'no-new-privileges', '--pull', 'never'];
    const child = spawn(
      'podman',
      [...podman, 'run', '--name', name, ...how, ...limits, ...safe, ...pairs, tag, ...command],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    const container = new Container(name, child, podman);
    this.#running.push(container);
    return container;
  }

  async close(): Promise<void> {
    await run('podman', [...this.#common, 'rm', '--all', '--force', '--time', '0']);
    await Promise.all(this.#running.map(({ ended }) => ended));
    await run('podman', [...this.#common, 'image', 'unmount', '--all']);
    await rm(this.folder, { recursive: true, force: true });
  }

  async #buildah(command: string, ...args: readonly string[]): Promise<string> {
    const env = { ...process.env, TMPDIR: CACHE };
    return (
      await run('buildah', [...this.#common, command, ...args], { env, maxBuffer: 10_000_000 })
    ).stdout.trim();
  }
}

export class Container {
  /** Everything that it has printed so far. */
  output = '';
  /** Its exit code. */
  readonly ended: Promise<number>;

  constructor(
    private readonly name: string,
    child: ChildProcess,
    private readonly podman: readonly string[],
  ) {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (data) => {
        this.output += data;
      });
    }
    this.ended = once(child, 'close').then(([code]) => code);
  }

  /** Runs a command in it. Returns the exit code and the output. */
  async exec(command: readonly string[]): Promise<{ readonly code: number; readonly output: string }> {
    const child = spawn('podman', [...this.podman, 'exec', this.name, ...command]);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data) => {
        output += data;
      });
    }
    const [code] = await once(child, 'close');
    return { code, output };
  }

  /** Sends SIGTERM, then SIGKILL after `graceSeconds`. */
  async stop(graceSeconds: number): Promise<void> {
    await run('podman', [...this.podman, 'stop', '--time', `${graceSeconds}`, this.name]);
  }
}
