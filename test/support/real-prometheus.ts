import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { endWithThisProcess } from './end-with-this-process.js';
import { freePort } from './redis-server.js';
import { until } from './until.js';

const START_MS_MAX = 60_000;

/** A series and its last value. */
export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [atS: number, value: string];
}

/** A Prometheus for one test. It scrapes replicas every second and evaluates the rules of deploy/. */
export class RealPrometheus {
  private constructor(
    private readonly child: ChildProcess,
    private readonly url: string,
    private readonly folder: string,
  ) {}

  /** `targets` are `HOST:PORT`. Throws if it does not become ready. */
  static async start(binary: string, targets: readonly string[]): Promise<RealPrometheus> {
    const folder = mkdtempSync(join(tmpdir(), 'dibs-prometheus-'));
    const config = {
      global: { scrape_interval: '1s', evaluation_interval: '1s' },
      rule_files: [resolve('deploy/alerts/dibs.rules.yaml')],
      scrape_configs: [{ job_name: 'dibs', honor_labels: true, static_configs: [{ targets }] }],
    };
    // JSON is YAML too.
    writeFileSync(join(folder, 'prometheus.yml'), JSON.stringify(config));
    const address = `127.0.0.1:${await freePort()}`;
    const flags = {
      'config.file': join(folder, 'prometheus.yml'),
      'storage.tsdb.path': join(folder, 'data'),
      'web.listen-address': address,
      'log.level': 'warn',
    };
    const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
    const child = spawn(binary, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    endWithThisProcess(child);
    const prometheus = new RealPrometheus(child, `http://${address}`, folder);
    await until(
      async () => (await fetch(`http://${address}/-/ready`).catch(() => undefined))?.ok === true,
      START_MS_MAX,
    );
    return prometheus;
  }

  /** Calls an endpoint of its API. Throws the API's error. */
  async get<Answer>(path: string, query: Readonly<Record<string, string>> = {}): Promise<Answer> {
    const response = await fetch(`${this.url}/api/v1/${path}?${new URLSearchParams(query)}`);
    const { status, data, error } = (await response.json()) as {
      status: string;
      data: Answer;
      error?: string;
    };
    if (status !== 'success') throw new Error(`${path} ${JSON.stringify(query)}: ${error}`);
    return data;
  }

  async query(query: string): Promise<readonly Sample[]> {
    return (await this.get<{ readonly result: readonly Sample[] }>('query', { query })).result;
  }

  async stop(): Promise<void> {
    this.child.kill('SIGKILL');
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'exit');
    rmSync(this.folder, { recursive: true, force: true });
  }
}
