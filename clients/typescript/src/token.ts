import { readFileSync, statSync } from 'node:fs';
import { DibsError } from './errors.js';
import { unreadableToken } from './unreadable-file.js';

/** Where a client's token comes from. */
export interface TokenOptions {
  readonly token?: string | (() => string) | undefined;
  readonly tokenFile?: string | undefined;
}

/** How often the file is checked for a change, at most. */
const LOOK_MS = 500;

/** Returns the current token; empty for none. It is kept where nothing prints it, and no error contains it. */
export function tokenSource({ token = '', tokenFile }: TokenOptions): () => string {
  if (tokenFile !== undefined && tokenFile !== '') return fromFile(tokenFile);
  if (typeof token === 'string') {
    const known = sendable(token, 'token');
    return () => known;
  }
  return () => {
    let given: string;
    try {
      given = token();
    } catch (cause) {
      throw new DibsError('UNAUTHENTICATED', 'token: the function failed', undefined, { cause });
    }
    return sendable(text(given), 'token');
  };
}

function fromFile(path: string): () => string {
  let [known, seen, lookedMs] = ['', '', Number.NEGATIVE_INFINITY];
  return () => {
    if (performance.now() - lookedMs < LOOK_MS) return known;
    lookedMs = performance.now();
    try {
      const { mtimeMs, size, ino } = statSync(path);
      const looks = `${mtimeMs} ${size} ${ino}`;
      if (looks !== seen) {
        const text = sendable(readFileSync(path, 'utf8').trim(), 'tokenFile');
        // It may be empty while it is being written.
        if (text === '' && known !== '') return known;
        known = text;
        seen = looks;
      }
    } catch (cause) {
      if (cause instanceof DibsError) throw cause;
      // The file may be missing during a replacement. The known token stays in use.
      if (seen === '') throw unreadableToken('tokenFile', 'DIBS_TOKEN_FILE', path, cause);
    }
    return known;
  };
}

/** A function may be async in JavaScript. Nothing handles the failure of its promise, which would end the process. */
function text(given: unknown): string {
  if (typeof given === 'string') return given;
  if (given instanceof Promise) given.catch(() => {});
  throw new DibsError(
    'INVALID_ARGUMENT',
    'token: the function did not return a string; it must not be async',
  );
}

/** gRPC's own error would show the text that it refuses. */
function sendable(token: string, option: string): string {
  if (typeof token === 'string' && /^[\x21-\x7e]*$/.test(token)) return token;
  throw new DibsError('INVALID_ARGUMENT', `${option}: has characters that a header cannot carry`);
}
