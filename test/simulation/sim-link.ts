import type { SimChance } from './sim-chance.js';
import type { VirtualTime } from './virtual-time.js';

/** What a network does to one connection: messages keep their order, and may be late or lost. */
export class SimLink {
  /** Share of messages lost on the way there, and on the way back. */
  requestLoss = 0;
  replyLoss = 0;
  /** Nothing arrives, in either direction. */
  cut = false;
  /** What a message takes at most, on top of the usual. */
  slowMs = 0;
  #there = 0;
  #back = 0;
  readonly #queueThere: string;
  readonly #queueBack: string;

  constructor(
    private readonly time: VirtualTime,
    private readonly chance: SimChance,
    /** From whom to whom: `r0-n1`. */
    readonly name = '',
  ) {
    this.#queueThere = `${name}>`;
    this.#queueBack = `${name}<`;
  }

  /** Whether anything is wrong with it now. */
  get faulty(): boolean {
    return this.cut || this.requestLoss > 0 || this.replyLoss > 0 || this.slowMs > 0;
  }

  heal(): void {
    this.cut = false;
    this.requestLoss = 0;
    this.replyLoss = 0;
    this.slowMs = 0;
  }

  /** Carries a request to the other side: a server, which takes it and settles no promise. */
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
