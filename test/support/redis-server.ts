import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { SingleAddress } from '../../src/config/store-url.js';
import { endWithThisProcess } from './end-with-this-process.js';
import { whenPortIsFree } from './taken-port.js';

export interface RedisServerOptions {
  /** By default a free port. */
  readonly port?: number;
  /** By default a new temporary folder, which {@link RedisServer.stop} removes. */
  readonly dir?: string;
  /**
   * Further arguments, such as `['--appendonly', 'yes']` or `['--maxmemory', '3mb']`. By default nothing is persisted.
   */
  readonly args?: readonly string[];
  /** The lines of a configuration file that the server may rewrite, as a sentinel does. */
  readonly config?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** The server program, if not the installed one. */
  readonly binary?: string;
}

/** A start takes about 20 ms, and seconds on a busy machine. After this long it has failed. */
const START_MS_MAX = 60_000;

/**
 * A real `redis-server` process on the loopback. It keeps its port and folder over restarts, and ends with this
 * process, however that ends.
 */
export class RedisServer {
  #child: ChildProcess | undefined;

  private constructor(
    readonly port: number,
    readonly dir: string,
    private readonly options: RedisServerOptions,
  ) {}

  /** Resolves when the server answers PING. */
  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    for (let attempt = 1; ; attempt++) {
      const port = options.port ?? (await freePort());
      const dir = options.dir ?? mkdtempSync(join(tmpdir(), 'dibs-redis-'));
      const server = new RedisServer(port, dir, options);
      try {
        await server.restart();
        return server;
      } catch (error) {
        await server.stop();
        // Another process may have taken the port between our check and the server's bind.
        if (options.port !== undefined || attempt === 5) throw error;
      }
    }
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  get address(): SingleAddress {
    return { kind: 'single', tls: false, host: '127.0.0.1', port: this.port, db: 0 };
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error('this redis-server does not run');
    return pid;
  }

  /** Runs a command and returns redis-cli's output. */
  async command(...args: string[]): Promise<string> {
    const { stdout } = await promisify(execFile)('redis-cli', ['-p', String(this.port), ...args]);
    return stdout;
  }

  /** The names of its keys that match a pattern. */
  async keys(pattern: string): Promise<string[]> {
    const stdout = await this.command('KEYS', pattern);
    return stdout.split('\n').filter((line) => line !== '');
  }

  /** How many replicas are connected and up to date. */
  async replicas(): Promise<number> {
    const stdout = await this.command('INFO', 'replication');
    return stdout.split('state=online').length - 1;
  }

  /** Sends `kill -9`: data that was not written to disk is lost. Resolves when the process has ended. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  /** Stops the process until {@link resume}. Its connections stay open. */
  hang(): void {
    process.kill(this.pid, 'SIGSTOP');
  }

  /** Continues the process after {@link hang}. */
  resume(): void {
    process.kill(this.pid, 'SIGCONT');
  }

  /** Starts the process again on the same port and folder. Sends `kill -9` first if it still runs. */
  restart(): Promise<void> {
    return whenPortIsFree(() => this.#restart());
  }

  async #restart(): Promise<void> {
    await this.kill();
    const place = ['--bind', '127.0.0.1', '--port', `${this.port}`, '--dir', this.dir];
    const nothingKept = ['--save', '', '--appendonly', 'no'];
    const { args = [], env = {}, binary = 'redis-server' } = this.options;
    const child = spawn(binary, [...this.#configFile(), ...place, ...nothingKept, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...env },
    });
    this.#child = child;
    let log = '';
    child.stdout.on('data', (chunk) => {
      log = `${log}${chunk}`.slice(-4000);
    });
    const failed = new Promise<never>((_, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`redis-server ended with code ${code}:\n${log}`)));
    });
    failed.catch(() => {}); // After the start, only the test ends it.
    endWithThisProcess(child);
    await Promise.race([this.#answers(), failed]);
  }

  /** Ends the process and removes its temporary folder. */
  async stop(): Promise<void> {
    await this.kill();
    if (this.options.dir === undefined) rmSync(this.dir, { recursive: true, force: true });
  }

  #configFile(): string[] {
    const { config } = this.options;
    if (config === undefined) return [];
    const file = join(this.dir, 'redis.conf');
    // After a restart this is the file that the server rewrote.
    if (!existsSync(file)) writeFileSync(file, config);
    return [file];
  }

  async #answers(): Promise<void> {
    for (const startedAtMs = Date.now(); Date.now() - startedAtMs < START_MS_MAX; ) {
      if (await answersPing(this.port)) return;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    throw new Error(`redis-server on port ${this.port} did not answer within ${START_MS_MAX} ms`);
  }
}

/**
 * Below the ports that Linux gives to outgoing connections, which come and go while a server starts. Rarely do two
 * processes choose the same one.
 */
const PORTS = { from: 10_000, to: 32_000 };
/** The ports that this process was given. A server that is still starting has not bound its port yet. */
const given = new Set<number>();

/** Returns a port that is free now, and that no other server of this process uses. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(PORTS.from, PORTS.to);
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

function answersPing(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
    const done = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('data', (data) => done(/^(\+PONG|-NOAUTH)/.test(data.toString())));
    socket.once('error', () => done(false));
    socket.once('close', () => done(false));
  });
}
