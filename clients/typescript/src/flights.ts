import { DibsError } from './errors.js';

interface Flight<T> {
  readonly result: Promise<T>;
  readonly abort: AbortController;
  callers: number;
}

/**
 * Joins equal calls inside one process: those who come while one is under way share its result. Each
 * caller can leave by its own signal; the call is aborted when all have.
 */
export class Flights<T> {
  readonly #flights = new Map<string, Flight<T>>();

  /** Calls that are under way. */
  get size(): number {
    return this.#flights.size;
  }

  join(id: string, start: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (signal?.aborted) return Promise.reject(gone(signal));
    const flight = this.#flights.get(id) ?? this.#take(id, start);
    flight.callers += 1;
    if (signal === undefined) return flight.result;
    return new Promise((resolve, reject) => {
      const leave = () => {
        reject(gone(signal));
        flight.callers -= 1;
        if (flight.callers > 0) return;
        // Whoever comes from now on must not join what is being aborted.
        this.#land(id, flight);
        flight.abort.abort(gone(signal));
      };
      signal.addEventListener('abort', leave, { once: true });
      flight.result.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave));
    });
  }

  #take(id: string, start: (signal: AbortSignal) => Promise<T>): Flight<T> {
    const abort = new AbortController();
    const flight: Flight<T> = { result: start(abort.signal), abort, callers: 0 };
    this.#flights.set(id, flight);
    const land = () => this.#land(id, flight);
    // The failure belongs to those who joined; here it only ends the flight.
    flight.result.then(land, land);
    return flight;
  }

  /** Only the flight that is still its own: another may have begun since this one was abandoned. */
  #land(id: string, flight: Flight<T>): void {
    if (this.#flights.get(id) === flight) this.#flights.delete(id);
  }
}

function gone(signal: AbortSignal): unknown {
  return signal.reason ?? new DibsError('CANCELLED', 'the caller has gone');
}
