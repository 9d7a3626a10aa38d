import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { endWithThisProcess } from './end-with-this-process.js';
import { until } from './until.js';

const START_MS_MAX = 60_000;

export interface JaegerSpan {
  readonly traceID: string;
  readonly spanID: string;
  readonly operationName: string;
  /** `CHILD_OF` refers to its parent, `FOLLOWS_FROM` to a linked span. */
  readonly references: readonly {
    readonly refType: 'CHILD_OF' | 'FOLLOWS_FROM';
    readonly traceID: string;
    readonly spanID: string;
  }[];
  /** In microseconds. */
  readonly duration: number;
  readonly tags: readonly { readonly key: string; readonly value: string | number | boolean }[];
  readonly warnings: readonly string[] | null;
}

export interface JaegerTrace {
  readonly traceID: string;
  readonly spans: readonly JaegerSpan[];
}

/**
 * A Jaeger for one test, configured like its image: all in one, in memory, on its usual ports of a separate address.
 */
export class RealJaeger {
  private constructor(
    private readonly child: ChildProcess,
    /** A loopback address. */
    readonly host: string,
  ) {}

  /** Starts it. Throws if it does not become ready. */
  static async start(binary: string, host: string): Promise<RealJaeger> {
    const env = { PATH: process.env.PATH, JAEGER_LISTEN_HOST: host };
    const child = spawn(binary, [], { env, stdio: ['ignore', 'ignore', 'pipe'] });
    endWithThisProcess(child);
    let log = '';
    child.stderr.on('data', (chunk) => {
      log = `${log}${chunk}`.slice(-4_000);
    });
    const jaeger = new RealJaeger(child, host);
    const isReady = async () => {
      if (child.exitCode !== null) throw new Error(`jaeger ended with ${child.exitCode}:\n${log}`);
      return (await fetch(`http://${host}:13133/status`).catch(() => undefined))?.ok === true;
    };
    await until(isReady, START_MS_MAX);
    return jaeger;
  }

  /** The base URL of its pages and their API. */
  get url(): string {
    return `http://${this.host}:16686`;
  }

  /** Searches for traces that have such a span. */
  async search(service: string, operation: string): Promise<readonly JaegerTrace[]> {
    return this.#get(`traces?${new URLSearchParams({ service, operation, limit: '1000' })}`);
  }

  /** Reads one trace. */
  async trace(id: string): Promise<JaegerTrace> {
    const [trace] = await this.#get<readonly JaegerTrace[]>(`traces/${id}`);
    if (trace === undefined) throw new Error(`Jaeger has no trace ${id}`);
    return trace;
  }

  /** The operations that the search page offers for a service. */
  async operations(service: string): Promise<readonly string[]> {
    return this.#get(`services/${service}/operations`);
  }

  async stop(): Promise<void> {
    this.child.kill('SIGKILL');
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'exit');
  }

  async #get<Answer>(path: string): Promise<Answer> {
    const response = await fetch(`${this.url}/api/${path}`);
    const { data, errors } = (await response.json()) as { data: Answer; errors: unknown };
    if (!response.ok) throw new Error(`${path}: ${response.status} ${JSON.stringify(errors)}`);
    return data;
  }
}

export function tagsOf({ tags }: JaegerSpan): Readonly<Record<string, string | number | boolean>> {
  return Object.fromEntries(tags.map(({ key, value }) => [key, value]));
}

/** A random loopback address, so that a program can use all of its usual ports. */
export function ownAddress(): string {
  const number = () => 2 + Math.floor(Math.random() * 250);
  return `127.${number()}.${number()}.${number()}`;
}
