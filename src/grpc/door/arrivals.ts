import type { Clock } from '../../coordination/ports/clock.js';

/** How long a request may take to arrive, in addition to the time of its bytes at the lowest speed. */
const ARRIVAL_MS_MAX = 10_000;
const BYTES_PER_MS_MIN = 64;
/** What HTTP/2 holds of a stream that is not read: its window. */
const WINDOW_BYTES = 65_535;

/** The part of a stream that is needed here. */
export interface PausableStream {
  pause(): unknown;
  resume(): unknown;
}

/** The unfinished requests of one connection. */
export class ConnectionArrivals {
  readonly all = new Set<Arrival>();
  bytes = 0;
  paused = 0;
}

/** A request that has begun to arrive. */
export class Arrival {
  bytes = 0;
  /** Since when it waits here, and so makes no progress. */
  pausedMs: number | undefined;

  constructor(
    readonly of: ConnectionArrivals,
    readonly stream: PausableStream,
    /** It has taken too long. */
    readonly late: () => void,
    public sinceMs: number,
  ) {}
}

/**
 * The requests of all connections that have not arrived completely. Their bytes are bounded. Beyond the bound, a
 * connection that holds more than what is left receives one request at a time, and its other streams wait. Of several
 * such connections beyond the whole bound, only the oldest request of all is received. A request that makes no progress
 * is refused, so that the next one gets its turn.
 */
export class Arrivals {
  readonly #all = new Set<Arrival>();
  readonly #paused = new Set<Arrival>();
  #bytes = 0;

  constructor(
    private readonly clock: Pick<Clock, 'nowMs'>,
    private readonly bytesMax: number,
  ) {}

  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the connection holds so much already that a further request is refused. */
  isFull(of: ConnectionArrivals): boolean {
    return of.bytes + of.paused * WINDOW_BYTES > 2 * this.bytesMax;
  }

  begin(of: ConnectionArrivals, stream: PausableStream, late: () => void): Arrival {
    const arrival = new Arrival(of, stream, late, this.clock.nowMs());
    of.all.add(arrival);
    this.#all.add(arrival);
    return arrival;
  }

  received(arrival: Arrival, bytes: number): void {
    const { of } = arrival;
    arrival.bytes += bytes;
    of.bytes += bytes;
    this.#bytes += bytes;
    if (arrival.pausedMs !== undefined || this.#mayGoOn(arrival)) return;
    arrival.pausedMs = this.clock.nowMs();
    of.paused += 1;
    this.#paused.add(arrival);
    arrival.stream.pause();
  }

  /** It has arrived, or its caller has left. */
  end(arrival: Arrival): void {
    const { of } = arrival;
    if (!this.#all.delete(arrival)) return;
    of.all.delete(arrival);
    of.bytes -= arrival.bytes;
    this.#bytes -= arrival.bytes;
    this.#unpause(arrival);
    if (this.#paused.size === 0) return;
    for (const waiting of this.#paused) {
      if (!this.#mayGoOn(waiting)) continue;
      this.#unpause(waiting);
      waiting.stream.resume();
    }
  }

  /** Refuses requests that take too long. The time that they wait here does not count. */
  sweep(): void {
    const nowMs = this.clock.nowMs();
    for (const arrival of this.#all) {
      if (arrival.pausedMs !== undefined) continue;
      if (nowMs - arrival.sinceMs > ARRIVAL_MS_MAX + arrival.bytes / BYTES_PER_MS_MIN) arrival.late();
    }
  }

  #unpause(arrival: Arrival): void {
    if (arrival.pausedMs === undefined) return;
    arrival.sinceMs += this.clock.nowMs() - arrival.pausedMs;
    arrival.pausedMs = undefined;
    arrival.of.paused -= 1;
    this.#paused.delete(arrival);
  }

  #mayGoOn(arrival: Arrival): boolean {
    const { of } = arrival;
    if (of.bytes <= this.bytesMax - this.#bytes) return true;
    if (this.#bytes <= this.bytesMax && first(of.all) === arrival) return true;
    return first(this.#all) === arrival;
  }
}

function first<Item>(of: Set<Item>): Item | undefined {
  return of.values().next().value;
}
