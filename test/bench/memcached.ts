import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { endWithThisProcess } from '../support/end-with-this-process.js';
import { freePort } from '../support/redis-server.js';
import { whenPortIsFree } from '../support/taken-port.js';
import { until } from '../support/until.js';
import { MetaClient } from './meta-client.js';

/** A start takes about 20 ms, and seconds on a busy machine. After this long it has failed. */
const START_MS_MAX = 60_000;

/** A real `memcached` process on the loopback, with its own defaults. It ends with this process, however that ends. */
export class Memcached {
  private constructor(
    readonly port: number,
    private readonly child: ChildProcess,
  ) {}

  /** Resolves when the server answers. Undefined if the program is not installed, which is said in one line. */
  static async start(): Promise<Memcached | undefined> {
    if (spawnSync('memcached', ['-V']).status !== 0) {
      console.log('  the rows of memcached are left out: its program is not installed\n');
      return undefined;
    }
    const port = await freePort();
    return whenPortIsFree(() => started(port)).then((child) => new Memcached(port, child));
  }

  get pid(): number {
    return this.child.pid as number;
  }

  async stop(): Promise<void> {
    const { exitCode, signalCode } = this.child;
    if (exitCode !== null || signalCode !== null) return;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }
}

async function started(port: number): Promise<ChildProcess> {
  // It refuses to run as root without the name of another user.
  const args = ['--user', 'nobody', '--listen', '127.0.0.1', '--port', `${port}`, '--udp-port', '0'];
  const child = spawn('memcached', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr.on('data', (chunk) => {
    log = `${log}${chunk}`.slice(-4000);
  });
  const failed = new Promise<never>((_, reject) => {
    child.once('error', reject);
    // By `close`, all that it wrote is read.
    child.once('close', (code) => reject(new Error(`memcached ended with code ${code}:\n${log}`)));
  });
  failed.catch(() => {}); // After the start, only the bench ends it.
  endWithThisProcess(child);
  await Promise.race([until(() => answers(port), START_MS_MAX), failed]);
  return child;
}

async function answers(port: number): Promise<boolean> {
  const client = new MetaClient(port);
  try {
    await client.get('a-key-without-value');
    return true;
  } catch {
    // It does not listen yet.
    return false;
  } finally {
    client.close();
  }
}
