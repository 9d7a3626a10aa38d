import { percentile } from './percentile.js';
import type { Replica } from './replica.js';
import { SessionCaller } from './session-caller.js';
import type { ShownBy } from './shown-by.js';

const EVERY_MS = 20;
/** The longest p99 allowed during an attack. It is generous: the machine may run forty busy processes. */
const P99_MS_MAX = 20_000;

/** What a well-behaved client measured during an attack. */
export interface Seen {
  readonly calls: number;
  readonly failed: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** A well-behaved client: one hit of 1 kB every 20 ms, on its own connection. */
export class Beside {
  static readonly key = 'beside';

  private constructor(
    private readonly session: SessionCaller,
    private readonly namespace: string,
  ) {}

  static async start(replica: Replica, shownBy: ShownBy = {}, namespace = ''): Promise<Beside> {
    const session = await SessionCaller.open(replica.target, {}, shownBy);
    const { key } = Beside;
    const { token } = await session.lease({ key, namespace });
    const publish = { ...{ key, token, namespace, staleMs: undefined, tags: [] }, ttlMs: 3_600_000 };
    const payload = { $case: 'value' as const, value: Buffer.alloc(1_000, 'x') };
    await session.replyTo(session.ask({ $case: 'publish', value: { ...publish, payload } }));
    return new Beside(session, namespace);
  }

  /** Sends requests while the attack runs, prints what it measured, and returns it. */
  async during(name: string, attack: () => Promise<unknown>): Promise<Seen> {
    const { key } = Beside;
    let over = false;
    let failure: unknown;
    const attacking = attack()
      .catch((error: unknown) => {
        failure = error;
      })
      .finally(() => {
        over = true;
      });
    const tookMs: number[] = [];
    const asked: Promise<void>[] = [];
    const failures: unknown[] = [];
    const ask = async () => {
      const startMs = performance.now();
      try {
        const reply = await this.session.replyTo(this.session.get({ key, namespace: this.namespace }));
        if (reply.$case !== 'getOrLock' || reply.value.outcome?.$case !== 'hit') failures.push(reply);
      } catch (error) {
        failures.push(error);
      }
      tookMs.push(performance.now() - startMs);
    };
    while (!over || asked.length < 50) {
      asked.push(ask());
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
    await Promise.all(asked);
    await attacking;
    if (failure !== undefined) throw failure;
    const [p50Ms, p99Ms] = [percentile(tookMs, 0.5), percentile(tookMs, 0.99)];
    const calls = tookMs.length;
    const failed = failures.length;
    if (failed > 0) console.log('the first failure:', failures[0]);
    console.log(
      `${name}: ${failed} of ${calls} calls beside it failed, p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms`,
    );
    return { calls, failed, p50Ms, p99Ms };
  }

  close(): void {
    this.session.drop();
  }
}

/** Whether the well-behaved client was served. The latency bound is generous. */
export function isServed({ failed, p99Ms }: Seen): boolean {
  return failed === 0 && p99Ms < P99_MS_MAX;
}
