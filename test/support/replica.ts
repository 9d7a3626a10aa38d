import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { endWithThisProcess } from './end-with-this-process.js';
import { whenPortIsFree } from './taken-port.js';

/** How long a start may take. The first contact may take 10 s. */
const START_MS_MAX = 120_000;
const LOG_BYTES_KEPT = 20_000;

export interface ReplicaEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A real replica: a separate process that runs `dist/main.js`. It ends with this process. */
export class Replica {
  #log = '';
  readonly #ended: Promise<ReplicaEnd>;

  private constructor(
    private readonly child: ChildProcess,
    private readonly listening: ReadonlyMap<string, string>,
  ) {
    child.stderr?.on('data', (chunk) => {
      this.#log = `${this.#log}${chunk}`.slice(-LOG_BYTES_KEPT);
    });
    this.#ended = once(child, 'exit').then(([code, signal]) => ({ code, signal }));
  }

  /**
   * Resolves when it listens. It sees only `env` and PATH, and listens on free ports unless `env` sets others. Rejects
   * with its log if it ends first. `main` may belong to another version. `openFilesMax` bounds its descriptors.
   */
  static start(
    env: Readonly<Record<string, string>> = {},
    main = 'dist/main.js',
    openFilesMax?: number,
  ): Promise<Replica> {
    return whenPortIsFree(() => Replica.#start(env, main, openFilesMax));
  }

  static async #start(
    env: Readonly<Record<string, string>>,
    main: string,
    openFilesMax: number | undefined,
  ): Promise<Replica> {
    const limited = ['-c', `ulimit -n ${openFilesMax}; exec "$0" "$1"`, process.execPath, main];
    const [command, args] = openFilesMax === undefined ? [process.execPath, [main]] : ['/bin/sh', limited];
    const child = spawn(command, args, {
      env: {
        PATH: process.env.PATH,
        DIBS_LISTEN: '127.0.0.1:0',
        DIBS_HTTP_LISTEN: '127.0.0.1:0',
        DIBS_LOG_LEVEL: 'warn',
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    endWithThisProcess(child);
    const listening = new Map<string, string>();
    const replica = new Replica(child, listening);
    const started = new Promise<void>((resolve) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        if (!line.startsWith('dibs listening')) return;
        for (const pair of line.split(' ').slice(2)) {
          const equals = pair.indexOf('=');
          listening.set(pair.slice(0, equals), pair.slice(equals + 1));
        }
        resolve();
      });
    });
    const failed = replica.#ended.then(({ code, signal }) => {
      throw new Error(`the replica ended with ${signal ?? code} before it listened:\n${replica.log}`);
    });
    failed.catch(() => {}); // Once it listens, only the test ends it.
    let timer: NodeJS.Timeout | undefined;
    const tooLong = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`no "dibs listening" in time:\n${replica.log}`)),
        START_MS_MAX,
      );
    });
    try {
      await Promise.race([started, failed, tooLong]);
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    } finally {
      clearTimeout(timer);
    }
    return replica;
  }

  /** `HOST:PORT` of the gRPC server. */
  get target(): string {
    return this.#listens('grpc');
  }

  /** The base URL of `/metrics`, `/healthz` and `/readyz`. */
  get httpUrl(): string {
    return `http://${this.#listens('http')}`;
  }

  /** `embedded` or `quorum`. */
  get mode(): string {
    return this.#listens('mode');
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** The end of what it wrote to standard error. */
  get log(): string {
    return this.#log;
  }

  /** How it ended. Pending while it runs. */
  get ended(): Promise<ReplicaEnd> {
    return this.#ended;
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Sends `kill -9`. Resolves when the process has ended. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.#ended;
  }

  #listens(what: string): string {
    const where = this.listening.get(what);
    if (where === undefined) throw new Error(`"dibs listening" did not say ${what}=`);
    return where;
  }
}
