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

/** How long a new subscription takes. */
const RESUBSCRIBE_MS = 100;

/** A replica knows from its pings how old a wake can be at most. This is their interval. */
const PING_EVERY_MS = 500;
/** One wake in this many carries no value, as if the value were large. */
const WITHOUT_VALUE = 4;

/** One replica's subscription to wakes. */
export class SimWakeChannel implements WakeChannel {
  live = true;
  /** Whether the server has the subscription. The replica may not know it yet. */
  #stands = true;
  #listeners: WakeListener[] = [];

  constructor(
    private readonly server: SimStoreServer,
    private readonly process: SimProcess,
    readonly link: SimLink,
    private readonly time: VirtualTime,
    /** The replica's clock. */
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
          // A paused replica learns this when it continues, in one step with the drop of its copies.
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
