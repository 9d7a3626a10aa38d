import { closeSync, constants, fstatSync, openSync, promises, readFileSync, type Stats } from 'node:fs';

/** As much as a ConfigMap or a Secret of Kubernetes may have. Parsing takes seconds from here on. */
export const FILE_BYTES_MAX = 1_048_576;

/** Without O_NONBLOCK, opening a named pipe waits for its writer, and blocks even the end of the process. */
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK;

/** The text of a file. Throws if it is no plain file, or too large. */
export function readText(path: string): string {
  const file = openSync(path, FLAGS);
  try {
    check(fstatSync(file));
    return readFileSync(file, 'utf8');
  } finally {
    closeSync(file);
  }
}

/** As {@link readText}, for a running process: a disk that hangs does not block it. */
export async function readTextLater(path: string): Promise<string> {
  const file = await promises.open(path, FLAGS);
  try {
    check(await file.stat());
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

function check(stats: Stats): void {
  if (!stats.isFile()) throw new Error(`it is ${kindOf(stats)}, and must be a plain file`);
  if (stats.size <= FILE_BYTES_MAX) return;
  throw new Error(`it has ${stats.size} bytes, and may have at most ${FILE_BYTES_MAX}`);
}

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'a folder';
  return stats.isFIFO() ? 'a named pipe' : 'a device';
}
