import { type App, startApp } from '../../../src/app.js';
import { loadConfig } from '../../../src/config/config.js';
import { DibsClient } from '../src/client.js';
import { bytes as bytesCodec } from '../src/codec.js';
import { Link } from '../src/link.js';
import type { DibsClientOptions } from '../src/options.js';
import type { CallTerms, Transport } from '../src/transport.js';
import { UnaryTransport } from '../src/unary-transport.js';
import { CONNECT_MS } from './patience.js';

type Method = Exclude<keyof Transport, 'close' | 'ready' | 'getOrLockMany'>;

/** A real transport over a bad link: calls fail before they are sent, or after they were answered. */
export class BadLink implements Transport {
  /** The errors of the next calls of a method, in order. `undefined` lets a call pass. */
  readonly #before = new Map<Method, (Error | undefined)[]>();
  readonly #after = new Map<Method, (Error | undefined)[]>();
  /** The methods that were called, in order. */
  readonly called: Method[] = [];
  /** The requests of each method. */
  readonly sent = new Map<Method, object[]>();
  readonly #terms: (readonly [Method, CallTerms])[] = [];

  constructor(private readonly real: Transport) {}

  failBefore(method: Method, ...errors: (Error | undefined)[]): void {
    this.#before.set(method, errors);
  }

  failAfter(method: Method, ...errors: (Error | undefined)[]): void {
    this.#after.set(method, errors);
  }

  /** The traceparents of a method's calls. */
  traceparentsOf(method: Method): (string | undefined)[] {
    return this.#terms.filter(([of]) => of === method).map(([, { traceparent }]) => traceparent);
  }

  countOf(method: Method): number {
    return this.called.filter((called) => called === method).length;
  }

  readonly getOrLock: Transport['getOrLock'] = (...to) => this.#pass('getOrLock', to);
  readonly publish: Transport['publish'] = (...to) => this.#pass('publish', to);
  readonly release: Transport['release'] = (...to) => this.#pass('release', to);
  readonly extend: Transport['extend'] = (...to) => this.#pass('extend', to);
  readonly invalidate: Transport['invalidate'] = (...to) => this.#pass('invalidate', to);

  readonly explain: Transport['explain'] = (...to) => this.#pass('explain', to);
  readonly getOrLockMany: Transport['getOrLockMany'] = (...to) => this.real.getOrLockMany(...to);

  close(): void {
    this.real.close();
  }

  async #pass<R>(method: Method, [request, terms]: [object, CallTerms]): Promise<R> {
    this.called.push(method);
    this.#terms.push([method, terms]);
    this.sent.set(method, [...(this.sent.get(method) ?? []), request]);
    const before = this.#before.get(method)?.shift();
    if (before !== undefined) throw before;
    const reply = await (this.real[method] as (request: object, terms: CallTerms) => Promise<R>)(
      request,
      terms,
    );
    const after = this.#after.get(method)?.shift();
    if (after !== undefined) throw after;
    return reply;
  }
}

/** A real service in this process, in embedded mode, and its clients. */
export class Service {
  readonly #clients: DibsClient[] = [];

  private constructor(
    private readonly app: App,
    readonly target: string,
  ) {}

  static async start(env: Record<string, string> = {}): Promise<Service> {
    const listen = { DIBS_LISTEN: '127.0.0.1:0', DIBS_HTTP_LISTEN: '127.0.0.1:0' };
    const app = await startApp(loadConfig({ ...listen, DIBS_LOG_LEVEL: 'error', ...env }));
    return new Service(app, app.grpcAddresses[0] ?? '');
  }

  /** Returns a client that shares nothing with any other, as if it were in another process. */
  client(options: DibsClientOptions = {}): DibsClient {
    const client = new DibsClient({ target: this.target, connectMs: CONNECT_MS, ...options });
    this.#clients.push(client);
    return client;
  }

  /** Returns a client over a link that tests can make fail. */
  clientOverBadLink(options: DibsClientOptions = {}): { client: DibsClient; link: BadLink } {
    const link = new BadLink(
      new UnaryTransport(new Link({ target: this.target, token: '', tlsCa: '', connectMs: CONNECT_MS })),
    );
    return { client: this.client({ ...options, transport: link }), link };
  }

  drain(): void {
    this.app.drain();
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.app.stop();
  }
}

let keys = 0;
/** A key that no other test uses. */
export const freshKey = (): string => `key ${++keys}`;

export const bytes = (text: string): Buffer => Buffer.from(text);

/** For tests whose values are bytes. */
export const raw = bytesCodec();

/** Returns a promise with the functions that settle it. */
export function deferred<T = void>() {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
