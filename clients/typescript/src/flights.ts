import { Callers } from './callers.js';
import { type Change, type CopyHolder, concerns } from './changes.js';
import { type Clock, SYSTEM_CLOCK } from './clock.js';

/** The subject of a flight, and how long each of its callers would wait for another caller's rebuild. */
export interface FlightTerms {
  readonly id: string;
  readonly namespace: string;
  readonly key: string;
  readonly signal: AbortSignal | undefined;
  readonly untilMs: number;
  /** Others may join it only before its request is sent. */
  readonly isShort?: boolean;
}

/** One call to the service that several callers of this process may share. */
export class Flight<T> {
  readonly callers: Callers;
  /** Set by the caller that begins it. */
  result!: Promise<T>;
  /** The request may have reached the service. */
  isSent = false;
  #leasedMs: number | undefined;
  readonly #joined: (() => void)[] = [];

  constructor(
    readonly terms: FlightTerms,
    private readonly close: (flight: Flight<T>) => void,
    private readonly clock: Clock,
  ) {
    this.callers = new Callers(() => close(this), clock);
  }

  /** Its answer is a lease. Later callers join the rebuild, by the rebuild's rules. */
  leased(): void {
    this.close(this);
    this.#leasedMs ??= this.clock.nowMs();
    for (const begin of this.#joined.splice(0)) begin();
  }

  /** For the caller that began it, which does not wait for another one's rebuild. */
  waitAsFirst(): Promise<T> {
    return this.callers.wait(this.result, { signal: this.terms.signal });
  }

  /**
   * The service answers within the wait of the caller that began the flight. Each caller's own wait bounds it too: at
   * once if that ends earlier, else from when the answer is a lease, because this process rebuilds then.
   */
  waitAsJoined({ signal, untilMs }: FlightTerms): Promise<T> {
    const bound = (begin: () => void) => {
      if (this.#leasedMs === undefined && untilMs >= this.terms.untilMs) this.#joined.push(begin);
      else begin();
    };
    const workedMs = () => this.clock.nowMs() - (this.#leasedMs ?? this.clock.nowMs());
    return this.callers.wait(this.result, { signal, untilMs, bound, workedMs });
  }
}

/**
 * The calls to the service that callers may join. Any caller may join before the request is sent, at the end of the
 * turn of the event loop. After that, callers may join only while every change is received and none has come: the
 * service may have read its answer before a change that the caller knows of.
 */
export class Flights<T> implements CopyHolder {
  readonly #joinable = new Map<string, Flight<T>>();
  /** The flights of this turn. */
  #unsent: Flight<T>[] = [];
  readonly #close = (flight: Flight<T>) => {
    // Only if it is still this one, because another may have begun since it was closed.
    if (this.#joinable.get(flight.terms.id) === flight) this.#joinable.delete(flight.terms.id);
  };

  constructor(
    private readonly isWatched: (namespace: string) => boolean,
    private readonly clock: Clock = SYSTEM_CLOCK,
  ) {}

  /** The number of flights that may be joined. */
  get size(): number {
    return this.#joinable.size;
  }

  /** Calls `found` with the flight that the caller waits for. */
  join(
    terms: FlightTerms,
    start: (flight: Flight<T>) => Promise<T>,
    found: (flight: Flight<T>) => void,
  ): Promise<T> {
    if (terms.signal?.aborted) return Promise.reject(terms.signal.reason);
    const known = this.#joinable.get(terms.id);
    if (known !== undefined && this.#mayJoin(known)) {
      found(known);
      return known.waitAsJoined(terms);
    }
    const flight = new Flight<T>(terms, this.#close, this.clock);
    this.#joinable.set(terms.id, flight);
    if (this.#unsent.push(flight) === 1) this.clock.soon(() => this.#sent());
    return this.#begin(flight, start, found);
  }

  /** For a caller whose call no other one joins. */
  alone(
    terms: FlightTerms,
    start: (flight: Flight<T>) => Promise<T>,
    found: (flight: Flight<T>) => void,
  ): Promise<T> {
    if (terms.signal?.aborted) return Promise.reject(terms.signal.reason);
    return this.#begin(new Flight<T>(terms, this.#close, this.clock), start, found);
  }

  #begin(
    flight: Flight<T>,
    start: (flight: Flight<T>) => Promise<T>,
    found: (flight: Flight<T>) => void,
  ): Promise<T> {
    found(flight);
    flight.result = start(flight);
    const close = () => this.#close(flight);
    // The failure belongs to the callers. Here it only ends the flight.
    flight.result.then(close, close);
    return flight.waitAsFirst();
  }

  changed(change: Change): void {
    for (const flight of this.#joinable.values()) {
      if (concerns(change, flight.terms.namespace, flight.terms.key)) this.#close(flight);
    }
  }

  missed(): void {
    this.#joinable.clear();
  }

  /**
   * Answers to earlier requests, by unary calls or over another session, may be older than a change that was not
   * reported.
   */
  began(): void {
    this.#joinable.clear();
  }

  #mayJoin(flight: Flight<T>): boolean {
    if (!flight.isSent) return true;
    return flight.terms.isShort !== true && this.isWatched(flight.terms.namespace);
  }

  #sent(): void {
    const sent = this.#unsent;
    this.#unsent = [];
    for (const flight of sent) {
      flight.isSent = true;
      if (!this.#mayJoin(flight)) this.#close(flight);
    }
  }
}
