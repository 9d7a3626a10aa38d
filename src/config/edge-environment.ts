import { isIPv6 } from 'node:net';
import { posix } from 'node:path';
import type { Identities } from '../access/identity.js';
import { isLoopback } from '../access/loopback.js';
import { readAuthFile } from './auth-file.js';
import { type EnvironmentReader, httpUrlOf } from './environment-reader.js';
import { type ReadFile, readTlsFiles, type TlsMaterial, type TlsPaths } from './tls-files.js';

/** Linux has room for 108 with the closing zero. Node cuts off the rest, and binds to another path. */
const SOCKET_PATH_BYTES_MAX = 107;

/** The start of an entry with a zone, and its fault. */
const ZONE = /^\[[^\]]*%/;
const HAS_ZONE = 'has a zone (%NAME), which cannot be used; set an address without one, such as [::]:PORT';

/** Where the process listens, and which callers it serves. */
export interface EdgeConfig {
  /** `HOST:PORT` or `unix:///path` each. */
  readonly grpcListen: readonly string[];
  /** Whether other machines can reach it. */
  readonly grpcIsRemote: boolean;
  readonly httpListen: { readonly host: string; readonly port: number };
  /** Whether HTTP connections are private. If not, HTTP shows no keys. */
  readonly httpIsPrivate: boolean;
  /** Leads from a lease in the console to its trace; empty without DIBS_TRACE_URL. */
  readonly traceUrl: string;
  /** Absent: plaintext. */
  readonly tls?: { readonly paths: TlsPaths; readonly material: TlsMaterial };
  /** Absent: every caller may do everything. */
  readonly auth?: { readonly path: string; readonly text: string; readonly identities: Identities };
}

/** Reads the addresses, the TLS files and DIBS_AUTH_FILE. Adds faults to the reader. */
export function readEdge(reader: EnvironmentReader, read: ReadFile, nowMs: number): EdgeConfig {
  const insecure = reader.choice('DIBS_INSECURE', 'false', ['true', 'false']) === 'true';
  const encrypted = reader.get('DIBS_TLS_CERT') !== undefined;
  const grpcListen = grpcListenOf(reader, insecure || encrypted);
  const httpListen = httpListenOf(reader, grpcListen);
  const tls = tlsOf(reader, read, nowMs);
  const auth = authOf(reader, read);
  return {
    grpcListen,
    grpcIsRemote: grpcListen.some(isRemote),
    httpListen,
    httpIsPrivate: insecure || encrypted || isLoopback(httpListen.host),
    traceUrl: traceUrlOf(reader),
    tls,
    auth,
  };
}

/** A page of the tracing UI, with the ids of a trace and a span to fill in. */
function traceUrlOf(reader: EnvironmentReader): string {
  const text = reader.get('DIBS_TRACE_URL') ?? '';
  if (text === '') return '';
  const url = httpUrlOf(text);
  // A fault does not repeat it, because it may contain a password.
  if (url === undefined || !text.includes('{trace_id}')) {
    reader.faults.add('DIBS_TRACE_URL', 'is not http://… or https://… with {trace_id} in it');
  } else if (url.username !== '' || url.password !== '') {
    const why = 'has a user or a password, which everyone who opens the console would see; remove it';
    reader.faults.add('DIBS_TRACE_URL', why);
  }
  return text;
}

function grpcListenOf(reader: EnvironmentReader, mayLeaveLoopback: boolean): readonly string[] {
  const text = reader.get('DIBS_LISTEN') ?? '127.0.0.1:50051';
  const entries = text.split(',').map((entry) => entry.trim());
  // With an @, it may be a URL whose password contains a comma.
  const named = (entry: string) =>
    entries.length > 1 && text.includes('@') ? `address ${entries.indexOf(entry) + 1}` : `'${entry}'`;
  for (const entry of entries) {
    const its = named(entry);
    if (/^unix:\/\/\/[^,\0]+$/.test(entry)) {
      checkSocketPath(reader, entry.slice('unix://'.length));
      continue;
    }
    const address = addressOf(entry);
    if (ZONE.test(entry)) {
      reader.faults.add('DIBS_LISTEN', `${its} ${HAS_ZONE}`);
    } else if (address === undefined) {
      reader.faults.add(
        'DIBS_LISTEN',
        `${its} is neither HOST:PORT or [IPV6]:PORT with a port of 0 to 65535 nor unix:///path`,
      );
    } else if (!mayLeaveLoopback && !isLoopback(address.host)) {
      reader.faults.add(
        'DIBS_LISTEN',
        `${its} is reachable from other machines without encryption; set DIBS_TLS_CERT and DIBS_TLS_KEY, listen on a loopback address or a unix socket, or set DIBS_INSECURE=true where the network itself is protected`,
      );
    }
  }
  const places = entries.map(placeOf);
  const twice = entries.filter((entry, at) => places.indexOf(placeOf(entry)) !== at && !entry.endsWith(':0'));
  for (const entry of twice) reader.faults.add('DIBS_LISTEN', `${named(entry)} is listed twice`);
  return Object.freeze(entries);
}

/** The same for two spellings of one address. Only a bind knows which names stand for which addresses. */
function placeOf(entry: string): string {
  if (entry.startsWith('unix:')) return `unix:${posix.normalize(entry.slice('unix://'.length))}`;
  const address = addressOf(entry);
  if (address === undefined) return entry;
  const { host, port } = address;
  return `${isIPv6(host) ? new URL(`http://[${host}]`).hostname : host.toLowerCase()}:${port}`;
}

function checkSocketPath(reader: EnvironmentReader, path: string): void {
  const bytes = Buffer.byteLength(path);
  if (bytes <= SOCKET_PATH_BYTES_MAX) return;
  reader.faults.add(
    'DIBS_LISTEN',
    `the path '${path}' has ${bytes} bytes; the system accepts at most ${SOCKET_PATH_BYTES_MAX}`,
  );
}

/** Metrics contain no values, keys or tokens, so any address is allowed. */
function httpListenOf(reader: EnvironmentReader, grpcListen: readonly string[]): EdgeConfig['httpListen'] {
  const entry = reader.get('DIBS_HTTP_LISTEN') ?? '127.0.0.1:9464';
  const address = addressOf(entry);
  if (address !== undefined && address.port !== 0 && grpcListen.map(placeOf).includes(placeOf(entry))) {
    reader.faults.add('DIBS_HTTP_LISTEN', `'${entry}' is also in DIBS_LISTEN; set another port`);
  }
  if (address !== undefined) return Object.freeze(address);
  const what = ZONE.test(entry) ? HAS_ZONE : 'is not HOST:PORT or [IPV6]:PORT with a port of 0 to 65535';
  reader.faults.add('DIBS_HTTP_LISTEN', `'${entry}' ${what}`);
  return { host: '', port: 0 };
}

function addressOf(entry: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.-]+)):(\d{1,5})$/.exec(entry);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host !== undefined && port <= 65_535 ? { host, port } : undefined;
}

function isRemote(entry: string): boolean {
  const address = addressOf(entry);
  return address !== undefined && !isLoopback(address.host);
}

function tlsOf(reader: EnvironmentReader, read: ReadFile, nowMs: number): EdgeConfig['tls'] {
  const cert = reader.get('DIBS_TLS_CERT');
  const key = reader.get('DIBS_TLS_KEY');
  const ca = reader.get('DIBS_TLS_CA');
  if (cert === undefined || key === undefined) {
    const missing = cert === undefined ? 'DIBS_TLS_CERT' : 'DIBS_TLS_KEY';
    const there = cert !== undefined ? 'DIBS_TLS_CERT' : key !== undefined ? 'DIBS_TLS_KEY' : undefined;
    if (there !== undefined) {
      reader.faults.add(there, `is set while ${missing} is not; set both or neither`);
    } else if (ca !== undefined) {
      reader.faults.add('DIBS_TLS_CA', 'is set while DIBS_TLS_CERT is not; client certificates need TLS');
    }
    return undefined;
  }
  const paths = { cert, key, ca };
  const material = readTlsFiles(paths, read, nowMs, reader.faults);
  return material && { paths, material };
}

function authOf(reader: EnvironmentReader, read: ReadFile): EdgeConfig['auth'] {
  const path = reader.get('DIBS_AUTH_FILE');
  const text = path && reader.fileAt('DIBS_AUTH_FILE', path, read);
  if (path === undefined || text === undefined) return undefined;
  return { path, text, identities: readAuthFile(text, reader.faults.in('DIBS_AUTH_FILE')) };
}
