import { type Channel, connectivityState as State } from '@grpc/grpc-js';
import { DibsError } from './errors.js';
import { afterRunning } from './running-time.js';

/** How long until the channel is checked again if it reports no change. */
const LOOK_MS = 1_000;

/** Bounds how long calls wait for a connection. gRPC alone waits 20 s for an address that does not answer. */
export class Connecting {
  /** The connection is late. Calls do not wait for it again until the channel makes progress. */
  #late = false;
  #underWay: Promise<void> | undefined;

  constructor(
    private readonly channel: Pick<Channel, 'getConnectivityState' | 'watchConnectivityState' | 'getTarget'>,
    private readonly connectMs: number,
  ) {}

  /**
   * undefined if there is a connection, or if gRPC ends the call at once because there is none. Otherwise resolves when
   * one of these holds. Rejects with `UNAVAILABLE` after the bound, which runs once for all calls.
   */
  underWay(): Promise<void> | undefined {
    const state = this.channel.getConnectivityState(true);
    if (!isConnecting(state)) {
      this.#late = false;
      return undefined;
    }
    if (this.#late && state === State.CONNECTING) return handled(Promise.reject(this.#unavailable()));
    this.#underWay ??= handled(
      this.#connected().finally(() => {
        this.#underWay = undefined;
      }),
    );
    return this.#underWay;
  }

  #connected(): Promise<void> {
    return new Promise((resolve, reject) => {
      let isOver = false;
      const end = () => {
        isOver = true;
        cancel();
      };
      const cancel = afterRunning(this.connectMs, () => {
        end();
        if (!isConnecting(this.channel.getConnectivityState(false))) return resolve();
        this.#late = true;
        reject(this.#unavailable());
      });
      const look = () => {
        if (isOver) return;
        const state = this.channel.getConnectivityState(true);
        if (isConnecting(state)) {
          this.channel.watchConnectivityState(state, Date.now() + LOOK_MS, look);
          return;
        }
        end();
        resolve();
      };
      look();
    });
  }

  #unavailable(): DibsError {
    const { connectMs } = this;
    return new DibsError(
      'UNAVAILABLE',
      `no connection to ${this.channel.getTarget()} within ${connectMs} ms`,
    );
  }
}

/** Its call may fail before it listens, for example without a token. A failure without a handler ends the process. */
function handled<T>(connecting: Promise<T>): Promise<T> {
  connecting.catch(() => {});
  return connecting;
}

function isConnecting(state: State): boolean {
  return state === State.IDLE || state === State.CONNECTING;
}
