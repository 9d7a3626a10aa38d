import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { peerOf } from '../access/peer.js';
import type { TlsMaterial } from '../config/tls-files.js';
import { Connections, type ConnectionsParts } from './connections.js';
import { Console, type ConsoleOptions } from './console.js';
import { namesThisMachine } from './own-host.js';
import { type Authorize, CHALLENGE, UNAUTHENTICATED } from './page-guard.js';
import { contextOf, serverOptionsOf } from './tls.js';

export interface HttpServerOptions extends Pick<ConsoleOptions, 'consoleState'>, ConnectionsParts {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Of all addresses. Probes have some more. */
  readonly connectionsMax: number;
  /** Whether this replica accepts calls: false while starting and draining. */
  ready(): boolean;
  /** Whether it has reached something to decide with, once: a fleet's lock nodes or its store. */
  started(): boolean | Promise<boolean>;
  /** The metrics in Prometheus' text format. */
  scrape(): Promise<string>;
  /** Absent: every caller may see every page. */
  readonly authorize?: Authorize;
  /** Absent: plaintext. */
  readonly tls?: TlsMaterial | undefined;
}

interface Page {
  readonly status: number;
  readonly type?: string;
  readonly text: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export const NOT_FOUND = 'not found: try / (the console), /metrics, /healthz, /startupz or /readyz\n';

const NOT_STARTED = 'not started: neither the lock nodes nor the value store was reached; the log says why\n';

const FOREIGN_HOST: Page = {
  status: 421,
  text: 'this console is for this machine only: open it under the name localhost or 127.0.0.1\n',
};

/** They are answered even if their address has too many connections. */
const PROBES: readonly string[] = ['/healthz', '/startupz', '/readyz'];

const TOO_MANY_CONNECTIONS: Page = {
  status: 503,
  text: 'too many connections or requests of this address: only probes are answered; close some\n',
  headers: { 'retry-after': '5' },
};

const FORBIDDEN =
  "permission denied: the metrics need explain on '*', or without DIBS_AUTH_FILE a client certificate\n";

const PLAIN = 'text/plain; charset=utf-8';
const PROMETHEUS = 'text/plain; version=0.0.4; charset=utf-8';

// Callers are probes and scrapers nearby. They send small requests at once, over few connections.
const HEADER_BYTES_MAX = 8_192;
const REQUEST_MS_MAX = 5_000;
const CHECK_EVERY_MS = 500;
const IDLE_MS_MAX = 10_000;
const STOP_MS_MAX = 1_000;

/** `/metrics`, `/healthz`, `/startupz`, `/readyz`, and the console at `/`. */
export class HttpServer {
  /** `HOST:PORT`, with the actual port. */
  readonly address: string;

  private constructor(
    private readonly server: Server | TlsServer,
    private readonly page: Console,
    host: string,
  ) {
    const { port } = server.address() as AddressInfo;
    this.address = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  }

  /** Serves once this resolves. */
  static async bind(options: HttpServerOptions): Promise<HttpServer> {
    const { consoleState, authorize, tls } = options;
    const page = new Console({
      consoleState,
      authorize: (request) => authorize?.(request, 'console') ?? 200,
    });
    const pages = { ...options, scrape: sharedBy(options.scrape) };
    const bounds = {
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: REQUEST_MS_MAX,
      requestTimeout: REQUEST_MS_MAX,
      keepAliveTimeout: IDLE_MS_MAX,
      // By default the bounds above are checked only every 30 s.
      connectionsCheckingInterval: CHECK_EVERY_MS,
    };
    const connections = new Connections(options);
    const listener = (request: IncomingMessage, response: ServerResponse) => {
      const path = request.url?.split('?', 1)[0] ?? '';
      const isProbe = PROBES.includes(path);
      const { socket } = request;
      if (!connections.mayAsk(socket, isProbe)) {
        // Otherwise, Node makes an error with its stack for it, which costs more than the request.
        request.destroy();
        return;
      }
      response.once('close', () => connections.answered(socket));
      const reads = request.method === 'GET' || request.method === 'HEAD';
      if (connections.isForProbes(socket) && !isProbe) {
        options.connectionRefused(peerOf(socket.remoteAddress), 'share');
        send(request, response, TOO_MANY_CONNECTIONS);
      } else if (!reads || !page.serves(path)) void answer(pages, path, request, response);
      else if (namesThisMachine(request.headers.host, options.host)) page.answer(path, request, response);
      else send(request, response, FOREIGN_HOST);
    };
    const server =
      tls === undefined
        ? createServer(bounds, listener)
        : createTlsServer({ ...bounds, ...serverOptionsOf(tls) }, listener);
    connections.keep(server);
    // By default, Node refuses an unknown expectation itself, and it would not be counted. We ignore it.
    server.on('checkExpectation', listener);
    await new Promise<void>((resolve, reject) => {
      // Later errors are of connections that the system could not accept. Without a listener, they would end the process.
      server.on('error', (error) =>
        reject(new Error(`cannot listen at ${options.host}:${options.port}: ${error.message}`)),
      );
      server.listen(options.port, options.host, resolve);
    });
    return new HttpServer(server, page, options.host);
  }

  /** Serves new connections with this certificate. Only if TLS was on from the start. */
  renewTls(material: TlsMaterial): void {
    if ('setSecureContext' in this.server) this.server.setSecureContext(contextOf(material));
  }

  /** Resolves when all connections have ended: idle ones at once, others after their answer or a timeout. */
  stop(): Promise<void> {
    return new Promise((resolve) => {
      const cutOff = setTimeout(() => this.server.closeAllConnections(), STOP_MS_MAX);
      this.server.close(() => {
        clearTimeout(cutOff);
        resolve();
      });
      this.page.close();
      this.server.closeIdleConnections();
    });
  }
}

async function answer(
  options: HttpServerOptions,
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  send(request, response, await pageFor(options, path, request));
}

function send(request: IncomingMessage, response: ServerResponse, page: Page): void {
  const { status, type = PLAIN, text, headers } = page;
  const body = Buffer.from(text, 'utf8');
  response.writeHead(status, {
    'content-type': type,
    'content-length': body.byteLength,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'cross-origin-resource-policy': 'same-origin',
    ...headers,
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

async function pageFor(options: HttpServerOptions, path: string, request: IncomingMessage): Promise<Page> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    const headers = { allow: 'GET, HEAD' };
    return { status: 405, text: 'method not allowed: use GET or HEAD\n', headers };
  }
  switch (path) {
    case '/healthz':
      return { status: 200, text: 'ok\n' };
    case '/startupz':
      return (await options.started())
        ? { status: 200, text: 'started\n' }
        : { status: 503, text: NOT_STARTED };
    case '/readyz':
      return options.ready() ? { status: 200, text: 'ready\n' } : { status: 503, text: 'not ready\n' };
    case '/metrics':
      return metricsPage(options, request);
    default:
      return { status: 404, text: NOT_FOUND };
  }
}

async function metricsPage(options: HttpServerOptions, request: IncomingMessage): Promise<Page> {
  const status = options.authorize?.(request, 'metrics') ?? 200;
  if (status === 401) return { status, text: UNAUTHENTICATED, headers: CHALLENGE };
  if (status === 403) return { status, text: FORBIDDEN };
  try {
    return { status: 200, type: PROMETHEUS, text: await options.scrape() };
  } catch (error) {
    return { status: 500, text: `metrics unavailable: ${(error as Error).message}\n` };
  }
}

/** Callers that ask while one answer is being made get that one. Each takes some milliseconds of this process. */
function sharedBy(scrape: () => Promise<string>): () => Promise<string> {
  let running: Promise<string> | undefined;
  return () => {
    running ??= scrape().finally(() => {
      running = undefined;
    });
    return running;
  };
}
