import type { SimChance } from './sim-chance.js';
import type { VirtualTime } from './virtual-time.js';

/** The network of one connection. Messages keep their order, and may be late or lost. */
export class SimLink {
  /** The share of lost messages in each direction. */
  requestLoss = 0;
  replyLoss = 0;
  /** Nothing arrives, in either direction. */
  cut = false;
  /** The longest extra latency of a message. */
  slowMs = 0;
  #there = 0;
  #back = 0;
  readonly #queueThere: string;
  readonly #queueBack: string;

  constructor(
    private readonly time: VirtualTime,
    private readonly chance: SimChance,
    /** Both ends: `r0-n1`. */
    readonly name = '',
  ) {
    this.#queueThere = `${name}>`;
    this.#queueBack = `${name}<`;
  }

  /** Whether it has a fault now. */
  get faulty(): boolean {
    return this.cut || this.requestLoss > 0 || this.replyLoss > 0 || this.slowMs > 0;
  }

  heal(): void {
    this.cut = false;
    this.requestLoss = 0;
    this.replyLoss = 0;
    this.slowMs = 0;
  }

  /** Carries a request to the server, which takes it without settling a promise. */
  send(arrive: () => void): void {
    if (this.cut || this.chance.hits(this.requestLoss)) return;
    this.#there = Math.max(this.#there, this.time.nowMs + this.chance.latencyMs(this.slowMs));
    this.time.at(this.#there, arrive, this.#queueThere, true);
  }

  /** Carries a reply back. */
  reply(arrive: () => void): void {
    if (this.cut || this.chance.hits(this.replyLoss)) return;
    this.#back = Math.max(this.#back, this.time.nowMs + this.chance.latencyMs(this.slowMs));
    this.time.at(this.#back, arrive, this.#queueBack);
  }
}
