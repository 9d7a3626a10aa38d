import { promises } from 'node:fs';
import type { ReadFile } from './tls-files.js';

/**
 * Certificates and permissions change some times a year, and who changes them watches: some seconds are soon.
 * Reading a few small files costs less than to be told of changes, and sees them whichever way they come: files
 * written in place, renamed over, or behind links that are swapped, as Kubernetes does.
 */
const LOOK_EVERY_MS = 2_000;

export interface Watched<Content> {
  readonly paths: readonly string[];
  /** What the files held when they were taken over last, in the order of `paths`. */
  readonly texts: readonly string[];
  /** `content` is undefined if there are faults. `read` throws for a file that could not be read. */
  parse(read: ReadFile): { readonly content: Content | undefined; readonly faults: readonly string[] };
  changed(content: Content): void;
  /** Called once for the same faults; what is in force stays so. */
  refused(faults: readonly string[]): void;
}

/** Takes over what some files say whenever that changes, unless it has faults. */
export class FileWatch<Content> {
  #taken: string;
  #told = '';
  #looking = Promise.resolve();
  #looks = 0;
  readonly #timer: NodeJS.Timeout;

  constructor(
    private readonly watched: Watched<Content>,
    everyMs = LOOK_EVERY_MS,
  ) {
    this.#taken = JSON.stringify(watched.texts);
    this.#timer = setInterval(() => {
      // A disk that hangs is not asked again and again.
      if (this.#looks === 0) void this.look();
    }, everyMs).unref();
  }

  /** Looks now, or as soon as the look under way is over. Never rejects. */
  look(): Promise<void> {
    this.#looks += 1;
    this.#looking = this.#looking.then(async () => {
      await this.#look();
      this.#looks -= 1;
    });
    return this.#looking;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    const read = await Promise.all(this.watched.paths.map(textOf));
    const taken = JSON.stringify(read);
    if (taken === this.#taken) {
      this.#told = '';
      return;
    }
    // Refused files are parsed at every look: a certificate may be valid later.
    const { content, faults } = this.watched.parse((path) => {
      const text = read[this.watched.paths.indexOf(path)];
      if (typeof text !== 'string') throw text ?? new Error('is not watched');
      return text;
    });
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
    return await promises.readFile(path, 'utf8');
  } catch (error) {
    return error as Error;
  }
}
