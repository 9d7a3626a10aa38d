import { SessionRequest } from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { until } from '../support/until.js';
import { MessageProxy } from './message-proxy.js';

interface Hold {
  isCaught: boolean;
  readonly passed: Promise<void>;
  pass(): void;
}

/**
 * A replica that hears of calls for some keys only when it is told so. Until then they have left the client, and have
 * no answer. Only sessions are held up.
 */
export class HoldingService {
  readonly #holds = new Map<string, Hold>();
  #proxy: MessageProxy | undefined;

  static async before(target: string): Promise<HoldingService> {
    const service = new HoldingService();
    const down = (message: Buffer) => message;
    service.#proxy = await MessageProxy.before(target, (path) => ({
      up: path.endsWith('/Session') ? (message) => service.#up(message) : (message) => message,
      down,
    }));
    return service;
  }

  get target(): string {
    return this.#proxy?.target ?? '';
  }

  /** `hold` from now on, `catch` for waiting until a call is held, or `pass`. */
  async act(verb: 'hold' | 'catch' | 'pass', namespace: string, key: string): Promise<void> {
    const id = idOf(namespace, key);
    const hold = this.#holds.get(id);
    if (verb === 'hold') this.#holds.set(id, newHold());
    else if (verb === 'catch') await until(() => hold?.isCaught === true);
    else {
      this.#holds.delete(id);
      hold?.pass();
    }
  }

  async stop(): Promise<void> {
    await this.#proxy?.stop();
  }

  #up(message: Buffer): Buffer | Promise<Buffer> {
    const holds = SessionRequest.decode(message).calls.flatMap(({ request }) => {
      const { namespace = '', key, keys = [] } = (request?.value ?? {}) as Named;
      const all = key === undefined ? keys : [key];
      return all.flatMap((one) => this.#holds.get(idOf(namespace, one)) ?? []);
    });
    if (holds.length === 0) return message;
    for (const hold of holds) hold.isCaught = true;
    return Promise.all(holds.map(({ passed }) => passed)).then(() => message);
  }
}

interface Named {
  readonly namespace?: string;
  readonly key?: string;
  readonly keys?: readonly string[];
}

const idOf = (namespace: string, key: string) => JSON.stringify([namespace, key]);

function newHold(): Hold {
  let pass = () => {};
  const passed = new Promise<void>((resolve) => {
    pass = resolve;
  });
  return { isCaught: false, passed, pass };
}
