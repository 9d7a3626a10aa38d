import { lstatSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';

/**
 * Makes the path of a unix socket free to bind. A killed process leaves its socket's file behind, which is removed.
 * Anything else there stays: throws an Error that says what it is.
 */
export async function freeSocketPath(path: string): Promise<void> {
  const kind = kindOf(path);
  if (kind === 'nothing') return;
  if (kind === 'other') {
    throw new Error(`'${path}' exists and is not a socket; remove it, or set another path in DIBS_LISTEN`);
  }
  const said = await answerAt(path);
  // A full backlog has a listener too.
  if (said === 'connected' || said === 'EAGAIN') throw new Error('another process listens there');
  if (said !== 'ECONNREFUSED') throw new Error(`'${path}' cannot be connected to: ${said}`);
  rmSync(path, { force: true });
}

function kindOf(path: string): 'nothing' | 'socket' | 'other' {
  try {
    return lstatSync(path).isSocket() ? 'socket' : 'other';
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT') throw error;
  }
  try {
    lstatSync(dirname(path));
  } catch {
    // The bind itself would say EACCES, which sounds like a missing permission.
    throw new Error(`the folder '${dirname(path)}' does not exist`);
  }
  return 'nothing';
}

/** `ECONNREFUSED` is a socket without a process, but only if it is a socket: any other file refuses too. */
function answerAt(path: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve('connected');
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}
