import { readTextLater } from './file-text.js';
import type { ReadFile } from './tls-files.js';

/**
 * Certificates and permissions change a few times a year, so a delay of seconds is fine. Polling a few small files is
 * cheap and sees every kind of change: files that are rewritten, renamed over, or behind swapped links (Kubernetes).
 */
const CHECK_EVERY_MS = 2_000;

export interface Watched<Content> {
  readonly paths: readonly string[];
  /** The texts of the files that are in force, in the order of `paths`. */
  readonly texts: readonly string[];
  /** Refused files may become valid without a change. They are then parsed again at every read. */
  readonly mayBecomeValid: boolean;
  /** `content` is undefined if there are faults. `read` throws for an unreadable file. */
  parse(read: ReadFile): { readonly content: Content | undefined; readonly faults: readonly string[] };
  changed(content: Content): void;
  /** Called once per set of faults. The old content stays in force. */
  refused(faults: readonly string[]): void;
}

/** Applies the content of some files whenever it changes and has no faults. */
export class FileWatch<Content> {
  #taken: string;
  #refused = '';
  #told = '';
  #checking = Promise.resolve();
  #checks = 0;
  readonly #timer: NodeJS.Timeout;

  constructor(
    private readonly watched: Watched<Content>,
    everyMs = CHECK_EVERY_MS,
  ) {
    this.#taken = JSON.stringify(watched.texts);
    this.#timer = setInterval(() => {
      // One read at a time, in case a disk hangs.
      if (this.#checks === 0) void this.check();
    }, everyMs).unref();
  }

  /** Reads now, or right after the running read. Never rejects. */
  check(): Promise<void> {
    this.#checks += 1;
    this.#checking = this.#checking.then(async () => {
      await this.#check();
      this.#checks -= 1;
    });
    return this.#checking;
  }

  /** The files as they stand have faults, so the old content is in force. */
  get isRefused(): boolean {
    return this.#told !== '';
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #check(): Promise<void> {
    const read = await Promise.all(this.watched.paths.map(textOf));
    const taken = JSON.stringify(read.map((it) => (it instanceof Error ? { message: it.message } : it)));
    if (taken === this.#taken) {
      this.#told = '';
      this.#refused = '';
      return;
    }
    if (taken === this.#refused && !this.watched.mayBecomeValid) return;
    const { content, faults } = this.watched.parse((path) => {
      const text = read[this.watched.paths.indexOf(path)];
      if (typeof text !== 'string') throw text ?? new Error('is not watched');
      return text;
    });
    this.#refused = content === undefined ? taken : '';
    if (content !== undefined) {
      this.#taken = taken;
      this.#told = '';
      this.watched.changed(content);
    } else if (this.#told !== faults.join('\n')) {
      this.#told = faults.join('\n');
      this.watched.refused(faults);
    }
  }
}

async function textOf(path: string): Promise<string | Error> {
  try {
    return await readTextLater(path);
  } catch (error) {
    return error as Error;
  }
}
