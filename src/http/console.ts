import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { peerOf } from '../access/peer.js';
import { Shares } from '../access/shares.js';
import type { ConsoleState } from './console-state.js';
import { CHALLENGE, UNAUTHENTICATED } from './page-guard.js';

export interface ConsoleOptions {
  /** Called once a second, only while a page is open; undefined before there is anything to show. */
  consoleState(): ConsoleState | undefined | Promise<ConsoleState | undefined>;
  /** The status for this request: 200 may see the console. Without it, every caller may. */
  authorize?(request: IncomingMessage): 200 | 401 | 403;
}

const EVENTS = '/console/events';
/** Each listener costs a connection and a copy of the state every second. They are shared by address. */
const LISTENERS_MAX = 32;
const EVERY_MS = 1_000;
/** A listener that has not read for this many seconds is disconnected. */
const MISSED_MAX = 30;

const TOO_MANY = `too many open consoles: at most ${LISTENERS_MAX}, and for each address as many as are free; retry later\n`;

const HTML = 'text/html; charset=utf-8';
const CSS = 'text/css; charset=utf-8';
const SCRIPT = 'text/javascript; charset=utf-8';

/** The files in `console/`, by their path. */
const FILES: Readonly<Record<string, { readonly name: string; readonly type: string }>> = {
  '/': { name: 'index.html', type: HTML },
  '/console/console.css': { name: 'console.css', type: CSS },
  '/console/tables.css': { name: 'tables.css', type: CSS },
  '/console/wait-chart.css': { name: 'wait-chart.css', type: CSS },
  '/console/console.js': { name: 'console.js', type: SCRIPT },
  '/console/tables.js': { name: 'tables.js', type: SCRIPT },
  '/console/wait-chart.js': { name: 'wait-chart.js', type: SCRIPT },
  '/console/words.js': { name: 'words.js', type: SCRIPT },
  '/console/icon.svg': { name: 'icon.svg', type: 'image/svg+xml' },
};

/** Only our own files, and no string may become markup or code, because keys are foreign text. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join('; ');

const HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': POLICY,
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

interface Listener {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Events in a row that were skipped, because it had not read the earlier ones. */
  missed: number;
}

/** The console: a page of a few files, and the stream of server-sent events that feeds it. */
export class Console {
  readonly #files = new Map<string, { readonly body: Buffer; readonly type: string }>();
  readonly #listeners = new Set<Listener>();
  readonly #shares = new Shares(LISTENERS_MAX);
  /** Runs only while there are listeners. */
  #timer: NodeJS.Timeout | undefined;
  /** The last event, the same for all listeners. */
  #event: string | undefined;

  constructor(private readonly options: ConsoleOptions) {
    for (const [path, { name, type }] of Object.entries(FILES)) {
      this.#files.set(path, { body: readFileSync(new URL(`./console/${name}`, import.meta.url)), type });
    }
  }

  serves(path: string): boolean {
    return path === EVENTS || this.#files.has(path);
  }

  /** Answers a GET or HEAD of a path that it {@link serves}. */
  answer(path: string, request: IncomingMessage, response: ServerResponse): void {
    const status = this.#authorize(request);
    if (status === 401) {
      send(request, response, status, UNAUTHENTICATED, CHALLENGE);
    } else if (status === 403) {
      send(
        request,
        response,
        status,
        'permission denied, or this connection is not private; see deploy/operations/access.md\n',
      );
    } else if (path === EVENTS) {
      void this.#listen({ request, response, missed: 0 });
    } else {
      const { body = '', type } = this.#files.get(path) ?? {};
      send(request, response, status, body, { 'content-type': type });
    }
  }

  /** Ends every stream. */
  close(): void {
    for (const { response } of this.#listeners) response.end();
  }

  #authorize(request: IncomingMessage): 200 | 401 | 403 {
    return this.options.authorize?.(request) ?? 200;
  }

  async #listen(listener: Listener): Promise<void> {
    const { request, response } = listener;
    this.#event ??= await this.#currentEvent();
    if (response.destroyed) {
      this.#rest();
      return;
    }
    if (this.#event === undefined) {
      send(request, response, 503, 'still starting; retry in a second\n', { 'retry-after': '1' });
      return;
    }
    const peer = peerOf(request.socket.remoteAddress);
    if (!this.#shares.take(peer)) {
      send(request, response, 503, TOO_MANY, { 'retry-after': '5' });
      this.#rest();
      return;
    }
    // The second header keeps a proxy from collecting the events before it passes them on.
    response.writeHead(200, { ...HEADERS, 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' });
    if (request.method === 'HEAD') {
      response.end();
      this.#shares.give(peer);
      this.#rest();
      return;
    }
    response.write(this.#event);
    this.#listeners.add(listener);
    response.on('close', () => {
      this.#listeners.delete(listener);
      this.#shares.give(peer);
      this.#rest();
    });
    this.#timer ??= setInterval(() => void this.#tell(), EVERY_MS).unref();
  }

  async #currentEvent(): Promise<string | undefined> {
    const state = await this.options.consoleState();
    // JSON has no line breaks, which would end the event.
    return state && `data: ${JSON.stringify(state)}\n\n`;
  }

  async #tell(): Promise<void> {
    const event = await this.#currentEvent();
    // The last page may have closed meanwhile, and then its event is of no use to the next one.
    if (this.#listeners.size === 0) return;
    this.#event = event;
    for (const listener of this.#listeners) {
      const { request, response } = listener;
      // A caller whose permission was revoked gets nothing more.
      if (this.#event === undefined || this.#authorize(request) !== 200) response.end();
      else if (!response.writableNeedDrain) {
        listener.missed = 0;
        response.write(this.#event);
      } else {
        // A reader slower than one event per second misses events; nothing is queued.
        listener.missed += 1;
        if (listener.missed > MISSED_MAX) response.destroy();
      }
    }
  }

  #rest(): void {
    if (this.#listeners.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#event = undefined;
  }
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  body: string | Buffer,
  headers: Record<string, string | undefined> = {},
): void {
  const { 'content-type': type = 'text/plain; charset=utf-8', ...others } = headers;
  response.writeHead(status, {
    ...HEADERS,
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    ...others,
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}
