import { DibsError } from './errors.js';

/** Longer paths are rare, and most private keys are longer. */
const SHOWN_PATH_MAX = 255;
/** PEM, also in base64, or only what stands within its lines. */
const PEM = /-----BEGIN|^\s*LS0tLS1CRUdJTi|^\s*M[A-Za-z0-9+/_-]{60,}={0,2}\s*$/;
/** A token may be any text, so only what begins with a folder counts as a path. */
const BEGINS_WITH_FOLDER = /^(?:[A-Za-z]:|~|\.\.?)?[\\/]/;
/** Base64 may begin with a slash too. */
const RANDOM = /[+=]|[A-Za-z0-9]{20}/;

/**
 * The error of a PEM file that cannot be read. It does not repeat a private key that is set where its path belongs. Nor
 * does it then have a cause, which would repeat it.
 */
export function unreadablePem(option: string, variable: string, path: string, cause: unknown): DibsError {
  return maybeContent(path) ? misplaced(option, variable, 'looks like') : unreadable(option, path, cause);
}

/** The same for a file with a token. */
export function unreadableToken(option: string, variable: string, path: string, cause: unknown): DibsError {
  const isPath = !maybeContent(path) && BEGINS_WITH_FOLDER.test(path) && !RANDOM.test(path);
  return isPath ? unreadable(option, path, cause) : misplaced(option, variable, 'may be');
}

function maybeContent(path: string): boolean {
  return path.length > SHOWN_PATH_MAX || /[\r\n]/.test(path) || PEM.test(path);
}

function unreadable(option: string, path: string, cause: unknown): DibsError {
  return new DibsError('INVALID_ARGUMENT', `${option}: ${path} cannot be read`, undefined, { cause });
}

function misplaced(option: string, variable: string, seems: string): DibsError {
  return new DibsError(
    'INVALID_ARGUMENT',
    `${option}: cannot be read, and ${seems} the content of a file; set the path of the file (${option}, ${variable})`,
  );
}
