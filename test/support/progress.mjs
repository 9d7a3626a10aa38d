// Shows the progress of a long command on standard error: one rewritten line on a terminal, elsewhere a line now and
// then. Plain JavaScript, because commands use it before anything is built.

const REWRITTEN_EVERY_MS = 500;
/** Longer where the output is a log, so that the log stays short. */
const LOGGED_EVERY_MS = 30_000;

/**
 * @param {number} ms
 * @returns {string}
 */
export function roundTime(ms) {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 100) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 100 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} h`;
}

/**
 * `simulate: 1,200 of 2,000 seeds, 85 a second, 9 s left`. Without a rate until something is done. A command with a
 * duration instead of a total: `soak: 12 faults, 24.0 a minute, 30 s left`. With both, it ends when both are reached.
 *
 * @param {{ what: string, unit: string, done: number, total?: number, lastsMs?: number, elapsedMs: number }} where
 * @returns {string}
 */
export function progressLine({ what, unit, done, total = 0, lastsMs = 0, elapsedMs }) {
  const of = total > 0 ? ` of ${total.toLocaleString('en')}` : '';
  const perSecond = elapsedMs > 0 ? (done * 1_000) / elapsedMs : 0;
  const rate =
    perSecond >= 1 ? `, ${Math.round(perSecond)} a second` : `, ${(perSecond * 60).toFixed(1)} a minute`;
  const toDoMs = done > 0 && done < total ? ((total - done) * elapsedMs) / done : 0;
  const leftMs = Math.max(toDoMs, lastsMs - elapsedMs);
  const left = leftMs > 0 ? `, ${roundTime(leftMs)} left` : '';
  return `${what}: ${Math.floor(done).toLocaleString('en')}${of} ${unit}${perSecond > 0 ? rate : ''}${left}`;
}

export class Progress {
  #done = 0;
  #shown = false;
  #startedMs;
  #timer;

  /**
   * @param {string} what the command
   * @param {number | undefined} total how much there is to do; undefined if only time ends it
   * @param {string} unit what is counted, in the plural
   * @param {{ lastsMs?: number, out?: { isTTY?: boolean, write(text: string): unknown }, nowMs?: () => number }} [parts]
   */
  constructor(what, total, unit, { lastsMs, out = process.stderr, nowMs = () => performance.now() } = {}) {
    this.what = what;
    this.total = total;
    this.lastsMs = lastsMs;
    this.unit = unit;
    this.out = out;
    this.nowMs = nowMs;
    this.#startedMs = nowMs();
    this.#timer = setInterval(() => this.show(), out.isTTY ? REWRITTEN_EVERY_MS : LOGGED_EVERY_MS);
    // The timer does not keep the command running.
    this.#timer.unref();
  }

  /** Counts more work as done. */
  add(count = 1) {
    this.#done += count;
  }

  show() {
    const { what, unit, total, lastsMs } = this;
    const elapsedMs = this.nowMs() - this.#startedMs;
    const line = progressLine({ what, unit, total, lastsMs, done: this.#done, elapsedMs });
    this.out.write(this.out.isTTY ? `\r\x1b[K${line}` : `${line}\n`);
    this.#shown = true;
  }

  /** Clears the line, so that something else can be printed. */
  clear() {
    if (this.#shown && this.out.isTTY) this.out.write('\r\x1b[K');
    this.#shown = false;
  }

  end() {
    clearInterval(this.#timer);
    this.clear();
  }
}
