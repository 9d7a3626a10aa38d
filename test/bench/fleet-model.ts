/** The share of a CPU that one event loop or one Redis may use. Above it, queues grow. */
export const HEALTHY_SHARE = 0.65;

/** The cost of each part, in µs of CPU, as `growth-of-fleet` measures it. */
export interface FleetCosts {
  /** A replica: a miss with its lease and publish. */
  readonly cycleUs: number;
  /** A replica: one wake of a key of which it has nothing. */
  readonly wakeUs: number;
  /** The value store: the same miss, lease and publish, with one subscriber. */
  readonly storeUs: number;
  /** The value store: a wake for one more subscriber. */
  readonly fanOutUs: number;
  /** Each lock node. */
  readonly lockNodeUs: number;
}

/** Measured on two cores that also ran everything else, at a load of 35. deploy/operations/growth.md shows them. */
export const MEASURED: FleetCosts = {
  cycleUs: 140,
  wakeUs: 3.6,
  storeUs: 44,
  fanOutUs: 0.19,
  lockNodeUs: 7.8,
};

/** How many replicas receive a publish. */
export type Reach = 'all replicas' | 'two replicas';

/** What a rate of publishes needs. Infinity means that more of that part does not help. */
export interface Needed {
  readonly replicas: number;
  /** Masters of a Redis Cluster, or one value store. */
  readonly stores: number;
  readonly lockGroups: number;
}

const heardBy = (replicas: number, reach: Reach) =>
  reach === 'all replicas' ? replicas : Math.min(2, replicas);

/** Computes how much of each part a rate of publishes needs. Records and wakes are spread evenly over the stores. */
export function neededFor(publishesPerSecond: number, costs: FleetCosts, reach: Reach): Needed {
  const healthyUs = HEALTHY_SHARE * 1e6;
  const wakesUs = (replicas: number) =>
    (publishesPerSecond * costs.wakeUs * heardBy(replicas, reach)) / replicas;
  const cycleUs = publishesPerSecond * costs.cycleUs;
  let replicas = 1;
  const isEnough = () => cycleUs / replicas + wakesUs(replicas) <= healthyUs;
  while (!isEnough() && replicas < REPLICAS_MAX) replicas += 1;
  if (!isEnough()) replicas = Number.POSITIVE_INFINITY;
  const heard = Number.isFinite(replicas) ? heardBy(replicas, reach) : REPLICAS_MAX;
  const storeUs = publishesPerSecond * (costs.storeUs + (heard - 1) * costs.fanOutUs);
  return {
    replicas,
    stores: Math.ceil(storeUs / healthyUs),
    lockGroups: Math.ceil((publishesPerSecond * costs.lockNodeUs) / healthyUs),
  };
}

const REPLICAS_MAX = 1_000;

export interface Wall {
  readonly part: 'the replicas' | 'the value store' | 'the lock nodes';
  readonly publishesPerSecond: number;
}

/** Finds the part that is full first with one value store and one group of lock nodes, and at how many publishes. */
export function firstWall(replicas: number, costs: FleetCosts, reach: Reach): Wall {
  const heard = heardBy(replicas, reach);
  const perPublishUs: Record<Wall['part'], number> = {
    'the replicas': costs.cycleUs / replicas + (costs.wakeUs * heard) / replicas,
    'the value store': costs.storeUs + (heard - 1) * costs.fanOutUs,
    'the lock nodes': costs.lockNodeUs,
  };
  const [part, us] = Object.entries(perPublishUs).sort(([, one], [, other]) => other - one)[0] as [
    Wall['part'],
    number,
  ];
  return { part, publishesPerSecond: (HEALTHY_SHARE * 1e6) / us };
}

const RATES = [1_000, 10_000, 30_000, 100_000];
const REPLICAS = [1, 2, 4, 8, 16, 32, 100];
const REACHES: readonly Reach[] = ['all replicas', 'two replicas'];

const thousands = (count: number) => `${Math.round(count).toLocaleString('en')}`;
const counted = (count: number) => (Number.isFinite(count) ? thousands(count) : 'no number of them');
const lineOf = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;

/** The tables of that page, as Markdown. */
export function growthTables(costs: FleetCosts): string[] {
  const walls = REPLICAS.map((replicas) =>
    lineOf([
      thousands(replicas),
      ...REACHES.map((reach) => {
        const { part, publishesPerSecond } = firstWall(replicas, costs, reach);
        // Two digits, because the measurements are no more exact.
        return `${thousands(Number(publishesPerSecond.toPrecision(2)))}, ${part}`;
      }),
    ]),
  );
  const needs = RATES.map((rate) =>
    lineOf([
      thousands(rate),
      ...REACHES.map((reach) => {
        const { replicas, stores, lockGroups } = neededFor(rate, costs, reach);
        return `${counted(replicas)}, ${thousands(stores)}, ${thousands(lockGroups)}`;
      }),
    ]),
  );
  return [
    lineOf(['replicas', ...REACHES.map((reach) => `publishes a second, if ${reach} hear of each`)]),
    lineOf(['---', '---', '---']),
    ...walls,
    '',
    lineOf([
      'publishes a second',
      ...REACHES.map((reach) => `replicas, stores, groups, if ${reach} hear of each`),
    ]),
    lineOf(['---', '---', '---']),
    ...needs,
  ];
}
