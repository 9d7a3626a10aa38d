import { write, writeSync } from 'node:fs';

/** What waits for a slow reader, or for room on a full disk. Further lines are lost. */
const WAITING_CHARS_MAX = 1_048_576;
const RETRY_MS = 100;
/** For a slow reader, at the end of the process. */
const LAST_MS_MAX = 500;
const PAUSE_MS = 10;

/** The system calls. Only tests have others. */
export interface LogFile {
  write(bytes: Buffer, done: (error: NodeJS.ErrnoException | null, written: number) => void): void;
  writeSync(bytes: Buffer): number;
}

/**
 * The log on its way to its file or its reader. Neither a full disk nor a reader that has ended may harm the service. So
 * nothing is thrown, and nothing waits for them except a bounded number of lines. pino's own destination ends the process
 * by an error, and then waits for room without end: no signal but SIGKILL ends that.
 */
export class LogOutput {
  #waiting = '';
  /** Bytes of the running write, or of one that failed. */
  #taken: Buffer = Buffer.alloc(0);
  #isWriting = false;
  #retry: NodeJS.Timeout | undefined;
  #lost = 0;

  /** `lostLine` makes the line that tells how many lines were lost. */
  constructor(
    private readonly file: LogFile,
    private readonly lostLine: (lost: number) => string,
  ) {}

  write(line: string): void {
    if (this.#taken.length + this.#waiting.length + line.length > WAITING_CHARS_MAX) {
      this.#lost += 1;
      return;
    }
    this.#waiting += line;
    if (!this.#isWriting && this.#retry === undefined) this.#next();
  }

  /** Writes what waits, at the end of the process. Gives up at the first error, because nothing changes any more. */
  end(): void {
    // A running write ends by itself.
    let rest = this.#isWriting ? Buffer.from(this.#waiting) : this.#all();
    const untilMs = performance.now() + LAST_MS_MAX;
    while (rest.length > 0) {
      try {
        rest = rest.subarray(this.file.writeSync(rest));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || performance.now() > untilMs) return;
        pause();
      }
    }
  }

  #all(): Buffer {
    return Buffer.concat([this.#taken, Buffer.from(this.#waiting)]);
  }

  #next(): void {
    this.#taken = this.#all();
    this.#waiting = '';
    if (this.#taken.length === 0) return;
    this.#isWriting = true;
    this.file.write(this.#taken, (error, written) => this.#wrote(error, written));
  }

  #wrote(error: NodeJS.ErrnoException | null, written: number): void {
    this.#isWriting = false;
    if (error !== null) {
      if (error.code === 'EPIPE') this.#forget();
      else this.#retryLater();
      return;
    }
    this.#taken = this.#taken.subarray(written);
    if (this.#lost > 0 && this.#taken.length === 0) {
      this.#waiting += this.lostLine(this.#lost);
      this.#lost = 0;
    }
    this.#next();
  }

  /** Its reader has ended, so the waiting lines cannot be delivered. */
  #forget(): void {
    this.#taken = Buffer.alloc(0);
    this.#waiting = '';
  }

  #retryLater(): void {
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#next();
    }, RETRY_MS).unref();
  }
}

let output: LogOutput | undefined;

/** Standard error of this process. Its last lines are written when the process ends. */
export function standardError(lostLine: (lost: number) => string): LogOutput {
  if (output !== undefined) return output;
  const ours = new LogOutput(
    { write: (bytes, done) => write(2, bytes, done), writeSync: (bytes) => writeSync(2, bytes) },
    lostLine,
  );
  process.once('exit', () => ours.end());
  output = ours;
  return ours;
}

/** A process that ends has no event loop to wait with. */
function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
}
