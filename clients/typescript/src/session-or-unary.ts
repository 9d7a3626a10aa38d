import { DibsError } from './errors.js';
import type * as wire from './generated/dibs/v1/coordinator.js';
import { NoSession } from './session-transport.js';
import type { CallTerms, Transport } from './transport.js';

/** How long calls go one by one after a session could not be had and they could. */
const UNARY_FOR_MS = 60_000;
/** Values up to here travel on the session: no service takes less. */
const ON_SESSION_BYTES_MAX = 1_000_000;

/** A session where that can be had, and one call after the other where something on the way breaks streams. */
export class SessionOrUnary implements Transport {
  #unaryUntilMs = 0;

  constructor(
    private readonly session: Transport,
    private readonly unary: Transport,
  ) {}

  readonly getOrLock: Transport['getOrLock'] = (...to) => this.#either((by) => by.getOrLock(...to));
  /** One that is too large for the service would end the session, and all that is open on it: it goes by itself. */
  readonly publish: Transport['publish'] = (...to) =>
    isLarge(to[0]) ? this.unary.publish(...to) : this.#either((by) => by.publish(...to));
  readonly release: Transport['release'] = (...to) => this.#either((by) => by.release(...to));
  readonly extend: Transport['extend'] = (...to) => this.#either((by) => by.extend(...to));
  readonly invalidate: Transport['invalidate'] = (...to) => this.#either((by) => by.invalidate(...to));
  readonly explain: Transport['explain'] = (...to) => this.#either((by) => by.explain(...to));

  async *getOrLockMany(
    request: wire.GetOrLockManyRequest,
    terms: CallTerms,
  ): AsyncGenerator<wire.GetOrLockManyResponse> {
    if (performance.now() >= this.#unaryUntilMs) {
      try {
        yield* this.session.getOrLockMany(request, terms);
        return;
      } catch (error) {
        if (!isNoSession(error)) throw error;
      }
    }
    for await (const response of this.unary.getOrLockMany(request, terms)) {
      this.#unaryWorks();
      yield response;
    }
  }

  close(): void {
    this.session.close();
    this.unary.close();
  }

  #either<R>(ask: (by: Transport) => Promise<R>): Promise<R> {
    if (this.#unaryUntilMs > 0 && performance.now() < this.#unaryUntilMs) return ask(this.unary);
    return ask(this.session).catch(async (error) => {
      if (!isNoSession(error)) throw error;
      const reply = await ask(this.unary);
      this.#unaryWorks();
      return reply;
    });
  }

  #unaryWorks(): void {
    this.#unaryUntilMs = performance.now() + UNARY_FOR_MS;
  }
}

function isLarge({ payload }: wire.PublishRequest): boolean {
  return payload?.$case === 'value' && payload.value.byteLength > ON_SESSION_BYTES_MAX;
}

function isNoSession(error: unknown): boolean {
  return error instanceof DibsError && error.cause instanceof NoSession;
}
