import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endWithThisProcess } from './end-with-this-process.js';
import { until } from './until.js';

const START_MS_MAX = 60_000;

/** A registry of OCI images and charts for one test, in memory, over HTTP. */
export class RealRegistry {
  private constructor(
    private readonly child: ChildProcess,
    private readonly folder: string,
    /** `HOST:PORT`. */
    readonly address: string,
  ) {}

  /** Starts it on a loopback address. Throws if it does not become ready. */
  static async start(binary: string, host: string): Promise<RealRegistry> {
    const address = `${host}:5000`;
    const folder = mkdtempSync(join(tmpdir(), 'dibs-registry-'));
    const config = join(folder, 'config.json');
    writeFileSync(
      config,
      JSON.stringify({ version: 0.1, storage: { inmemory: {} }, http: { addr: address } }),
    );
    const child = spawn(binary, ['serve', config], {
      env: { OTEL_TRACES_EXPORTER: 'none' },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    endWithThisProcess(child);
    let log = '';
    child.stderr.on('data', (chunk) => {
      log = `${log}${chunk}`.slice(-4_000);
    });
    const registry = new RealRegistry(child, folder, address);
    await until(async () => {
      if (child.exitCode !== null) throw new Error(`registry ended with ${child.exitCode}:\n${log}`);
      return (await fetch(`http://${address}/v2/`).catch(() => undefined))?.ok === true;
    }, START_MS_MAX);
    return registry;
  }

  async stop(): Promise<void> {
    this.child.kill('SIGKILL');
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'exit');
    rmSync(this.folder, { recursive: true, force: true });
  }
}
