import { whenSettled } from '../coordination/words/when-settled.js';

/**
 * Two or three round trips of a fast network in one region (10 Gbit/s, 1 ms), and 34 ms of one with 1 Gbit/s. This
 * keeps the network busy, and delays everything else on the connection little compared with its timeouts.
 */
const WINDOW_BYTES = 4_194_304;

interface Turn {
  /** The expected size, as known at the time of the request. */
  readonly expected: () => number;
  /** The request is sent now, and counts with this many bytes. */
  readonly comes: (bytes: number) => void;
}

/**
 * Limits how many bytes of values are in transit in one direction of the connection. Redis runs all commands that it
 * has received before it writes the first reply, so a burst of large reads would wait for the last one and time out
 * together. Requests that do not fit wait for their turn: in order within a namespace, and each namespace in turn. Each
 * namespace may always have one in transit, so a value larger than the window passes too, and small values do not wait
 * for large values of other namespaces.
 */
export class ByteWindow {
  #bytes = 0;
  /** The number of requests in transit, by namespace. */
  readonly #underWay = new Map<string, number>();
  readonly #waiting = new Map<string, Turn[]>();

  constructor(private readonly bytesMax = WINDOW_BYTES) {}

  /** Calls `send` when it is its turn, at once if it fits; it counts as in transit until the reply. */
  run<T>(namespace: string, expected: () => number, send: () => Promise<T>): Promise<T> {
    const bytes = expected();
    if (this.#waiting.has(namespace) || !this.#fits(namespace, bytes)) {
      return this.#turn(namespace, expected).then((coming) => this.#send(namespace, coming, send));
    }
    this.#begin(namespace, bytes);
    return this.#send(namespace, bytes, send);
  }

  #send<T>(namespace: string, bytes: number, send: () => Promise<T>): Promise<T> {
    return whenSettled(send(), () => this.#end(namespace, bytes));
  }

  #fits(namespace: string, bytes: number): boolean {
    return this.#bytes + bytes <= this.bytesMax || !this.#underWay.has(namespace);
  }

  #begin(namespace: string, bytes: number): void {
    this.#bytes += bytes;
    this.#underWay.set(namespace, (this.#underWay.get(namespace) ?? 0) + 1);
  }

  #turn(namespace: string, expected: () => number): Promise<number> {
    return new Promise((comes) => {
      const turns = this.#waiting.get(namespace);
      if (turns === undefined) this.#waiting.set(namespace, [{ expected, comes }]);
      else turns.push({ expected, comes });
    });
  }

  #end(namespace: string, bytes: number): void {
    this.#bytes -= bytes;
    const left = (this.#underWay.get(namespace) ?? 1) - 1;
    if (left > 0) this.#underWay.set(namespace, left);
    else this.#underWay.delete(namespace);
    // A namespace that has had its turn goes to the end of the map, and is visited again in this loop.
    for (const [name, turns] of this.#waiting) {
      const next = turns[0];
      const bytes = next?.expected() ?? 0;
      if (next === undefined || !this.#fits(name, bytes)) continue;
      turns.shift();
      this.#begin(name, bytes);
      this.#waiting.delete(name);
      if (turns.length > 0) this.#waiting.set(name, turns);
      next.comes(bytes);
    }
  }
}
