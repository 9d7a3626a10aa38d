/** One event that may happen next. Events of one name happen in their order. */
export interface Move {
  readonly name: string;
  /** Faults are not due by themselves. They happen only if chosen. */
  readonly isFault?: boolean;
}

export interface Bounds {
  /** How many times an order may differ from the planned one. */
  readonly deviations: number;
  readonly faults: number;
  readonly seconds?: number;
}

/** What one order broke. Empty if nothing. */
export type Verdict = readonly string[];

export interface Bad {
  readonly verdict: Verdict;
  /** The order, as {@link picksOf} reads it. */
  readonly order: string;
}

export interface Explored {
  /** The number of orders that were played to their end. */
  readonly orders: number;
  /** The number of abandoned orders: they differ from a played one only in steps that commute. */
  readonly pruned: number;
  /** Whether all orders within the bounds were tried. */
  readonly whole: boolean;
  readonly bad: readonly Bad[];
  readonly badCount: number;
}

/** Picks one of the moves by its index. Undefined abandons the order. */
export type Pick = (moves: readonly Move[]) => number | undefined;

/** A point with a choice, and the last option chosen. */
interface Point {
  readonly names: readonly string[];
  /** The total number of deviations and of faults after each option. */
  readonly costs: readonly number[];
  readonly faults: readonly number[];
  /** Options that were tried here, or that would repeat what was tried before. */
  readonly sleeping: Set<string>;
  at: number;
}

const BAD_KEPT = 5;

/**
 * Searches all orders depth first. Each is played anew from its beginning, by the choices that lead to it.
 *
 * The bound is the number of deviations: to take the k-th event instead of the first delays k events, and a delayed event
 * comes after everything else that is due (Emmi, Qadeer, Rakamarić, "Delay-bounded scheduling", POPL 2011). Sleep sets
 * prune the search: two neighbouring steps that touch different things commute, and only one of their two orders is
 * played (Godefroid, "Partial-order methods", 1996). Together they may miss an order within the bound, if its played
 * twin is beyond the bound. So this search is not complete.
 */
export async function explore(
  play: (pick: Pick) => Promise<Verdict>,
  areIndependent: (one: string, other: string) => boolean,
  bounds: Bounds,
): Promise<Explored> {
  const points: Point[] = [];
  const bad: Bad[] = [];
  let [orders, pruned, badCount] = [0, 0, 0];
  const untilMs = performance.now() + (bounds.seconds ?? Number.POSITIVE_INFINITY) * 1_000;
  for (;;) {
    const replay = new Replay(points, areIndependent, bounds);
    const verdict = await play((moves) => replay.pick(moves));
    if (replay.isPruned) pruned += 1;
    else orders += 1;
    if (verdict.length > 0 && !replay.isPruned) {
      badCount += 1;
      if (bad.length < BAD_KEPT) bad.push({ verdict, order: replay.order });
    }
    if (!goOn(points, bounds)) return { orders, pruned, whole: true, bad, badCount };
    if (performance.now() > untilMs) return { orders, pruned, whole: false, bad, badCount };
  }
}

/** Moves to the next order. Returns false if there is none. */
function goOn(points: Point[], bounds: Bounds): boolean {
  for (let point = points.at(-1); point !== undefined; point = points.at(-1)) {
    point.sleeping.add(point.names[point.at] as string);
    const next = optionOf(point, bounds);
    if (next !== undefined) {
      point.at = next;
      return true;
    }
    points.pop();
  }
  return false;
}

function optionOf({ names, costs, faults, sleeping }: Omit<Point, 'at'>, bounds: Bounds): number | undefined {
  const at = names.findIndex(
    (name, option) =>
      !sleeping.has(name) &&
      (costs[option] as number) <= bounds.deviations &&
      (faults[option] as number) <= bounds.faults,
  );
  return at < 0 ? undefined : at;
}

/** One order, played from its beginning. */
class Replay {
  #depth = 0;
  #sleeping: ReadonlySet<string> = new Set();
  /** The delayed events, the oldest first. */
  #putOff: string[] = [];
  #cost = 0;
  #faults = 0;
  #steps = 0;
  readonly #order: string[] = [];
  isPruned = false;

  constructor(
    private readonly points: Point[],
    private readonly areIndependent: (one: string, other: string) => boolean,
    private readonly bounds: Bounds,
  ) {}

  /** The choices other than the first planned event, as {@link picksOf} reads them. */
  get order(): string {
    return this.#order.join(',');
  }

  pick(moves: readonly Move[]): number | undefined {
    const due = moves.filter(({ isFault }) => isFault !== true).map(({ name }) => name);
    const inTime = due.filter((name) => !this.#putOff.includes(name));
    const names = [...inTime, ...this.#putOff.filter((name) => due.includes(name))];
    const faults = moves.filter(({ isFault }) => isFault === true).map(({ name }) => name);
    const point = this.points[this.#depth] ?? this.#newPoint([...names, ...faults], names.length);
    this.#depth += 1;
    if (point === undefined) {
      this.isPruned = true;
      return undefined;
    }
    const picked = point.names[point.at] as string;
    const place = moves.findIndex(({ name }) => name === picked);
    if (place < 0) throw new Error(`the same choices led elsewhere: ${picked} is not in ${due}`);
    this.#take(point, names.length);
    if (place > 0) this.#order.push(`${this.#steps}:${picked}`);
    this.#steps += 1;
    return place;
  }

  #newPoint(names: readonly string[], dueCount: number): Point | undefined {
    const sleeping = new Set(this.#sleeping);
    let awake = 0;
    const costs = names.map((name, option) => {
      const isFault = option >= dueCount;
      const cost = this.#cost + (isFault ? 1 : awake);
      if (!sleeping.has(name)) awake += 1;
      return cost;
    });
    const faults = names.map((_, option) => this.#faults + (option >= dueCount ? 1 : 0));
    const point = { names, costs, faults, sleeping };
    const at = optionOf(point, this.bounds);
    if (at === undefined) return undefined;
    const begun = { ...point, at };
    this.points.push(begun);
    return begun;
  }

  #take({ names, costs, faults, sleeping, at }: Point, dueCount: number): void {
    const picked = names[at] as string;
    this.#cost = costs[at] as number;
    this.#faults = faults[at] as number;
    if (at < dueCount) {
      const passed = names.slice(0, at);
      this.#putOff = [...this.#putOff.filter((name) => name !== picked && !passed.includes(name)), ...passed];
    }
    this.#sleeping = new Set([...sleeping].filter((name) => this.areIndependent(name, picked)));
  }
}

/** Replays an order of {@link Bad.order}. */
export function picksOf(order: string): Pick {
  const named = new Map(
    order
      .split(',')
      .filter((part) => part !== '')
      .map((part) => [Number(part.slice(0, part.indexOf(':'))), part.slice(part.indexOf(':') + 1)]),
  );
  let steps = 0;
  return (moves) => {
    const name = named.get(steps);
    steps += 1;
    return name === undefined ? 0 : moves.findIndex((move) => move.name === name);
  };
}
