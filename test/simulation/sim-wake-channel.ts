import type { Clock } from '../../src/coordination/ports/clock.js';
import type {
  NamespaceWake,
  Wake,
  WakeChannel,
  WakeListener,
} from '../../src/coordination/ports/wake-channel.js';
import type { Change } from './old-values.js';
import type { SimLink } from './sim-link.js';
import type { SimProcess } from './sim-process.js';
import type { SimStoreServer } from './sim-store.js';
import type { VirtualTime } from './virtual-time.js';

/** How long a broken subscription takes to come back. */
const RESUBSCRIBE_MS = 100;

/** A replica knows from its pings and their pongs when a wake was sent at the earliest. */
const PING_EVERY_MS = 500;
/** In one wake of so many there is no value, as if it were a large one. */
const WITHOUT_VALUE = 4;

/** One replica's subscription to the wakes. */
export class SimWakeChannel implements WakeChannel {
  live = true;
  /** The server has the subscription; the replica may not know it yet, or no more. */
  #stands = true;
  #listeners: WakeListener[] = [];

  constructor(
    private readonly server: SimStoreServer,
    private readonly process: SimProcess,
    readonly link: SimLink,
    private readonly time: VirtualTime,
    /** The replica's. */
    private readonly clock: Pick<Clock, 'nowMs'>,
  ) {
    server.channels.push(this);
  }

  listen(listener: WakeListener): () => void {
    this.#listeners.push(listener);
    return () => {
      this.#listeners = this.#listeners.filter((other) => other !== listener);
    };
  }

  deliver(wake: Wake, change: Change | undefined): void {
    const heard = { ...wake, stored: this.#storedIn(wake) };
    this.#hear(change, (listener) => listener.wake(heard));
  }

  #storedIn({ fence, stored }: Wake): Wake['stored'] {
    if (fence % WITHOUT_VALUE === 0) return undefined;
    const storedAfterMs = Math.floor(this.clock.nowMs() / PING_EVERY_MS) * PING_EVERY_MS;
    return () => {
      const value = stored?.();
      return value && { ...value, storedAfterMs };
    };
  }

  deliverNamespace(wake: NamespaceWake, change: Change | undefined): void {
    this.#hear(change, (listener) => listener.namespaceWake(wake));
  }

  #hear(change: Change | undefined, tell: (listener: WakeListener) => void): void {
    if (!this.#stands) return;
    this.link.reply(() =>
      this.process.run(() => {
        for (const listener of this.#listeners) tell(listener);
        if (change !== undefined) this.server.witness.arrived(this.process, change);
      }),
    );
  }

  goDown(): void {
    if (!this.#stands) return;
    this.#stands = false;
    this.live = false;
    this.process.run(() => {
      for (const listener of this.#listeners) listener.disconnected();
      this.server.witness.channel(this.process, 'disconnected');
    });
  }

  comeBack(): void {
    this.time.at(
      this.time.nowMs + RESUBSCRIBE_MS,
      () => {
        if (this.#stands || !this.server.up) return;
        this.#stands = true;
        this.process.run(() => {
          // A paused replica learns it when it goes on, in one step with what it then drops.
          if (!this.#stands) return;
          this.live = true;
          for (const listener of this.#listeners) listener.resubscribed();
          this.server.witness.channel(this.process, 'confirmed');
        });
      },
      this.process.timers,
    );
  }
}
