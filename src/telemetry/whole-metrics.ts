import { SHOWN_DEGRADATIONS } from '../coordination/words/outcome.js';
import { METRICS } from './names.js';

/** What one process exports, in Prometheus' text format. */
export interface MetricsPart {
  /** Which process it is; and which run of it, because its counters begin at zero when it is started again. */
  readonly name: string;
  readonly run: number;
  /** Undefined if it did not answer. Its counters then stay as they were, and its gauges are left out. */
  readonly text: string | undefined;
}

/** One metric: its lines that begin with #, and its samples by name and labels. */
interface Family {
  readonly about: readonly string[];
  readonly type: string;
  readonly samples: Map<string, number>;
}
type Families = Map<string, Family>;

/** For these, the whole has the same value, or the worst value counts. All other gauges are added. */
const LARGEST: readonly string[] = [
  METRICS.longestWait,
  METRICS.undecided,
  METRICS.storeLate,
  METRICS.info,
  METRICS.sharedSetting,
  METRICS.reloadRefused,
];
/** The same, where a small value is worse. A process may have kept a certificate that the others have renewed. */
const SMALLEST: readonly string[] = [METRICS.certificateEnd, METRICS.wakesLive];
/** From the process that sees the fewest lock nodes vote, because all processes have the same nodes. */
const OF_FEWEST_VOTES: readonly string[] = [METRICS.quorumNodes, METRICS.quorumNodeState];
/** With several groups of lock nodes, there is one for each. */
const VOTING = 'state="voting"';

interface Kept {
  run: number;
  /** Its counters at its last answer. */
  counters: Map<string, number>;
}

/**
 * The metrics of several processes as one. Counters and histograms are added. A counter must not fall while one process
 * has its series: Prometheus would treat a fall as a restart, and count the rest as new. So the counts of a process
 * that ended are kept.
 */
export class WholeMetrics {
  readonly #kept = new Map<string, Kept>();
  /** The counts of processes that have ended. */
  #ended = new Map<string, number>();

  /** Takes the current parts. Call it for each scrape with all processes, including those that have ended. */
  merged(parts: readonly MetricsPart[]): string {
    const read = parts.map((part) => ({
      part,
      families: part.text === undefined ? undefined : familiesOf(part.text),
    }));
    const whole: Families = new Map();
    for (const { part, families } of read) {
      this.#keep(part, families);
      for (const [name, { about, type }] of families ?? []) {
        if (!whole.has(name)) whole.set(name, { about, type, samples: new Map() });
      }
    }
    const answers = read.flatMap(({ families }) => (families === undefined ? [] : [families]));
    addCounted(whole, this.#counted());
    for (const [name, family] of whole) if (!isCounter(family)) addGauges(name, family, answers);
    return [...whole.values()].map(textOf).join('');
  }

  /**
   * Counts that a series has lost are added to those of ended processes: its process was restarted, or the series was
   * idle.
   */
  #keep({ name, run }: MetricsPart, families: Families | undefined): void {
    if (families === undefined) return;
    const counters = new Map<string, number>();
    for (const family of families.values()) {
      if (isCounter(family)) for (const [series, value] of family.samples) counters.set(series, value);
    }
    const before = this.#kept.get(name);
    for (const [series, value] of before?.counters ?? []) {
      const now = counters.get(series);
      if (before?.run === run && now !== undefined && now >= value) continue;
      this.#ended.set(series, (this.#ended.get(series) ?? 0) + value);
    }
    this.#kept.set(name, { run, counters });
  }

  /** The sums of all series that some process still has. The others end, as they do with one process. */
  #counted(): ReadonlyMap<string, number> {
    const sums = new Map<string, number>();
    for (const { counters } of this.#kept.values()) {
      for (const [series, value] of counters) {
        sums.set(series, (sums.get(series) ?? this.#ended.get(series) ?? 0) + value);
      }
    }
    this.#ended = new Map([...this.#ended].filter(([series]) => sums.has(series)));
    return sums;
  }
}

function isCounter({ type }: Family): boolean {
  return type === 'counter' || type === 'histogram';
}

/** `NAME`, or with `_bucket`, `_sum` or `_count` that of a histogram. */
function addCounted(whole: Families, counted: ReadonlyMap<string, number>): void {
  for (const [series, value] of counted) {
    const name = /^[^{]*/.exec(series)?.[0] ?? '';
    const family = whole.get(name) ?? whole.get(name.replace(/_(?:bucket|sum|count)$/, ''));
    family?.samples.set(series, value);
  }
}

function addGauges(name: string, { samples }: Family, answers: readonly Families[]): void {
  for (const families of tellers(name, answers)) {
    for (const [series, value] of families.get(name)?.samples ?? []) {
      const before = samples.get(series);
      samples.set(series, before === undefined ? value : together(name, before, value));
    }
  }
}

function together(name: string, one: number, other: number): number {
  if (LARGEST.includes(name)) return Math.max(one, other);
  return SMALLEST.includes(name) ? Math.min(one, other) : one + other;
}

/** The processes whose gauges count for this metric. */
function tellers(name: string, answers: readonly Families[]): readonly Families[] {
  const lowest = (of: (families: Families) => number) =>
    [...answers].sort((a, b) => of(a) - of(b)).slice(0, 1);
  if (OF_FEWEST_VOTES.includes(name)) {
    return lowest(votingIn);
  }
  if (name === METRICS.degraded) return lowest((families) => -badnessOf(families));
  return answers;
}

function votingIn(families: Families): number {
  const counts = [...(families.get(METRICS.quorumNodes)?.samples ?? [])];
  const voting = counts.filter(([series]) => series.includes(VOTING)).map(([, count]) => count);
  return voting.length === 0 ? Number.POSITIVE_INFINITY : voting.reduce((sum, count) => sum + count);
}

function badnessOf(families: Families): number {
  for (const [series, value] of families.get(METRICS.degraded)?.samples ?? []) {
    if (value === 1) return SHOWN_DEGRADATIONS.findIndex((mode) => series.includes(`"${mode}"`));
  }
  return -1;
}

function familiesOf(text: string): Families {
  const families: Families = new Map();
  let about: string[] = [];
  let family: Family | undefined;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    if (line.startsWith('#')) {
      const [, word, name = '', type = ''] = line.split(' ', 4);
      if (word === 'HELP') about = [line];
      if (word !== 'TYPE') continue;
      family = { about: [...about, line], type, samples: new Map() };
      families.set(name, family);
      about = [];
    } else {
      const end = line.lastIndexOf(' ');
      family?.samples.set(line.slice(0, end), Number(line.slice(end + 1)));
    }
  }
  return families;
}

function textOf({ about, samples }: Family): string {
  const lines = [...samples].map(([series, value]) => `${series} ${value}`);
  return lines.length === 0 ? '' : `${[...about, ...lines].join('\n')}\n`;
}
