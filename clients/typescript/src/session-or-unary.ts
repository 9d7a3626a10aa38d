import { type Clock, SYSTEM_CLOCK } from './clock.js';
import { DibsError } from './errors.js';
import type * as wire from './generated/dibs/v1/coordinator.js';
import { NoSession, SessionRefused } from './no-session.js';
import type { AskingTransport, CallTerms, Transport } from './transport.js';

/** How long until a session is tried again after sessions failed and unary calls worked. It doubles each time. */
const AGAIN_MS = { min: 2_000, max: 60_000 };
/** Values up to this size travel on the session. Every service accepts them. */
const ON_SESSION_BYTES_MAX = 1_000_000;

/**
 * A session if there can be one, and unary calls if something on the way breaks streams. No call waits for a session
 * that failed before: it is tried again in the background.
 */
export class SessionOrUnary implements AskingTransport {
  #isUnary = false;
  #cancelAgain = () => {};
  #closed = false;

  constructor(
    private readonly session: AskingTransport & Required<Pick<Transport, 'ready'>>,
    private readonly unary: Transport & Required<Pick<Transport, 'ready'>>,
    private readonly clock: Clock = SYSTEM_CLOCK,
  ) {}

  readonly getOrLock: Transport['getOrLock'] = (request, terms) =>
    this.#either((by) => by.getOrLock(request, terms));
  readonly askGetOrLock: AskingTransport['askGetOrLock'] = (request, terms, answered, failed) => {
    if (this.#isUnary) this.unary.getOrLock(request, terms).then(answered, failed);
    else
      this.session.askGetOrLock(request, terms, answered, (error) => {
        if (isNoSession(error))
          this.#byUnary(error, (by) => by.getOrLock(request, terms)).then(answered, failed);
        else failed(error);
      });
  };
  /**
   * A value that is too large for the service would end the session, and everything open on it. So it goes by itself.
   */
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
    let noSession: DibsError | undefined;
    const answered = new Set<string>();
    if (!this.#isUnary) {
      try {
        for await (const response of this.session.getOrLockMany(request, terms)) {
          answered.add(response.key);
          yield response;
        }
        return;
      } catch (error) {
        if (!isNoSession(error)) throw error;
        noSession = error;
      }
    }
    // A key with an answer could get a lease again, which no caller waits for.
    const keys = request.keys.filter((key) => !answered.has(key));
    if (keys.length === 0 && answered.size > 0) return;
    for await (const response of this.unary.getOrLockMany({ ...request, keys }, terms)) {
      this.#unaryWorks(noSession);
      yield response;
    }
  }

  groupsOf(keys: readonly string[]): readonly (readonly string[])[] {
    return (this.#isUnary ? undefined : this.session.groupsOf?.(keys)) ?? [keys];
  }

  async ready(deadlineMs: number): Promise<void> {
    try {
      await this.session.ready(deadlineMs);
    } catch (error) {
      if (!isNoSession(error)) throw error;
      await this.unary.ready(deadlineMs);
    }
  }

  close(): void {
    this.#closed = true;
    this.#cancelAgain();
    this.session.close();
    this.unary.close();
  }

  #either<R>(ask: (by: Transport) => Promise<R>): Promise<R> {
    if (this.#isUnary) return ask(this.unary);
    return ask(this.session).catch((error) => {
      if (!isNoSession(error)) throw error;
      return this.#byUnary(error, ask);
    });
  }

  /** There was no session for this call. */
  async #byUnary<R>(noSession: DibsError, ask: (by: Transport) => Promise<R>): Promise<R> {
    const reply = await ask(this.unary);
    this.#unaryWorks(noSession);
    return reply;
  }

  #unaryWorks(noSession: DibsError | undefined): void {
    if (this.#isUnary || this.#closed) return;
    // Another session can be opened.
    if (noSession?.cause instanceof SessionRefused) return;
    this.#isUnary = true;
    this.#tryAgain(AGAIN_MS.min);
  }

  #tryAgain(afterMs: number): void {
    this.#cancelAgain = this.clock.behind(afterMs, () => {
      this.session.ready(afterMs).then(
        () => {
          this.#isUnary = false;
        },
        () => {
          if (!this.#closed) this.#tryAgain(Math.min(AGAIN_MS.max, 2 * afterMs));
        },
      );
    });
  }
}

function isLarge({ payload }: wire.PublishRequest): boolean {
  return payload?.$case === 'value' && payload.value.byteLength > ON_SESSION_BYTES_MAX;
}

function isNoSession(error: unknown): error is DibsError {
  return error instanceof DibsError && error.cause instanceof NoSession;
}
