import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

/** A process that carries out orders one by one. It ends with this process, by its `disconnect` event. */
export class ClientProcess<Order extends object, Done> {
  private constructor(private readonly child: ChildProcess) {}

  /** `program` is the name of a file beside this one. It answers each message that it is sent by one of its own. */
  static start<Order extends object, Done>(
    program: string,
    args: readonly string[],
  ): ClientProcess<Order, Done> {
    return new ClientProcess(fork(new URL(program, import.meta.url), args));
  }

  async carryOut(order: Order): Promise<Done> {
    const waiting = new AbortController();
    const { signal } = waiting;
    const answered = once(this.child, 'message', { signal });
    const ended = once(this.child, 'exit', { signal }).then(() => {
      throw new Error('a client process has ended; its error is above');
    });
    ended.catch(() => {}); // One of the two is never awaited.
    this.child.send(order);
    try {
      const [done] = await Promise.race([answered, ended]);
      return done as Done;
    } finally {
      waiting.abort();
    }
  }

  stop(): void {
    this.child.kill('SIGKILL');
  }
}

/** The other side: carries out each order that this process is sent. A fault ends it. */
export function carryOutOrders<Order>(carryOut: (order: Order) => Promise<object>): void {
  process.on('message', (order: Order) => {
    carryOut(order).then(
      (done) => process.send?.(done),
      (error) => {
        throw error;
      },
    );
  });
  process.on('disconnect', () => process.exit(0));
}
