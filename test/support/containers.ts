import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Kept from run to run: what the cache mounts of a build hold, such as npm's packages. */
const CACHE = resolve('node_modules/.cache/image');

/** Their own are more than some machines allow. */
const LIMITS = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1000:1000'];

/** What an image says of itself. */
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

/** Why this machine allows no images to be built or run, whatever is installed; undefined if it does. */
export function whyNoContainers(): string | undefined {
  if (process.platform !== 'linux') return 'this is not Linux';
  if (process.getuid?.() !== 0) return 'not root';
  if (spawnSync('unshare', ['--mount', '--pid', '--fork', 'true']).status !== 0) return 'no namespaces';
  return mayMakeControlGroups() ? undefined : 'no control groups';
}

/** The program that is missing for images; undefined if all are there. */
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
 * Images and containers of the test's own, in `folder`, by buildah and podman. It needs no daemon, no registry, and no file
 * system of layers, so that it also works in a virtual machine of continuous integration.
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
      // Their warnings would stand among what a container prints.
      '--log-level',
      'error',
    ];
    mkdirSync(CACHE, { recursive: true });
  }

  /** An image of one layer, with what is in `root`. */
  async imageOf(root: string, env: Readonly<Record<string, string>>, tag: string): Promise<void> {
    const container = await this.#buildah('from', 'scratch');
    await this.#buildah('copy', '--quiet', container, root, '/');
    const pairs = Object.entries(env).flatMap(([name, value]) => ['--env', `${name}=${value}`]);
    await this.#buildah('config', ...pairs, container);
    await this.#buildah('commit', '--quiet', '--rm', container, tag);
  }

  /** Builds the Dockerfile of the repository. `--format docker`: the other format has no health check. */
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

  /** As a cluster would: a root file system that is read-only, no capability, and the network of this machine. */
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
    // It also ends when this process is killed. Within another container, the number of its processes cannot be limited.
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
  /** What it has printed so far. */
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

  /** Runs a command in it; its exit code, and what it printed. */
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

  /** SIGTERM, and SIGKILL if it is still there after `graceSeconds`. */
  async stop(graceSeconds: number): Promise<void> {
    await run('podman', [...this.podman, 'stop', '--time', `${graceSeconds}`, this.name]);
  }
}
