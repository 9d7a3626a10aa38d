import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { endWithThisProcess } from '../support/end-with-this-process.js';

/** Addresses reserved for documentation, which no real network uses. */
const NEAR = '192.0.2.1';
const FAR = '192.0.2.2';
const PORT = 6379;
const SHAPE = 'root tbf rate 1gbit burst 512kb latency 100ms';

/**
 * A network namespace with a Redis in it, behind a link of 1 Gbit/s in each direction. It ends with this process, which
 * must run in a separate namespace.
 */
export class FarSide {
  readonly nearAddress = NEAR;
  readonly url = `redis://${FAR}:${PORT}`;

  private constructor(private readonly redis: ChildProcess) {}

  /** Resolves when its Redis answers. */
  static async start(): Promise<FarSide> {
    ip('link set lo up');
    const begin = [
      'until ip link set far up 2>/dev/null; do sleep 0.02; done',
      `ip addr add ${FAR}/30 dev far`,
      `tc qdisc add dev far ${SHAPE}`,
      `exec redis-server --bind ${FAR} --port ${PORT} --save '' --protected-mode no`,
    ].join(' && ');
    const redis = spawn('unshare', ['-n', 'sh', '-c', begin], { stdio: ['ignore', 'ignore', 'inherit'] });
    endWithThisProcess(redis);
    const own = readlinkSync('/proc/self/ns/net');
    while (readlinkSync(`/proc/${redis.pid}/ns/net`) === own) await sleep(10);
    ip(`link add near type veth peer name far netns ${redis.pid}`);
    ip(`addr add ${NEAR}/30 dev near`);
    ip('link set near up');
    execFileSync('tc', `qdisc add dev near ${SHAPE}`.split(' '));
    const side = new FarSide(redis);
    for (let tries = 0; !side.#answers(); tries += 1) {
      if (tries === 100) throw new Error('the Redis on the far side does not answer');
      await sleep(50);
    }
    return side;
  }

  /** Starts a Node program on the far side. */
  run(program: string, args: readonly string[]): ChildProcess {
    const there = ['-t', `${this.redis.pid}`, '-n', process.execPath, program, ...args];
    const child = spawn('nsenter', there, { stdio: ['ignore', 'pipe', 'inherit'] });
    endWithThisProcess(child);
    return child;
  }

  stop(): void {
    this.redis.kill('SIGKILL');
  }

  #answers(): boolean {
    try {
      return execFileSync('redis-cli', ['-h', FAR, 'PING'], { stdio: 'pipe' }).toString().startsWith('PONG');
    } catch {
      return false;
    }
  }
}

function ip(command: string): void {
  execFileSync('ip', command.split(' '));
}
