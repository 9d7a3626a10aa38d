import { cpuMsOf, mainThreadMsOf } from '../support/cpu-of.js';
import type { Fleet } from '../support/fleet.js';

/** CPU time in microseconds. */
export interface FleetCpu {
  /** This process, which is the caller. */
  readonly callersUs: number;
  readonly replicasUs: number;
  /** All of them together. */
  readonly lockNodesUs: number;
  readonly storeUs: number;
}

/** What each part has used so far. The kernel counts a replica's time in hundredths of a second. */
export function fleetCpu({ lockNodes, store }: Fleet, replicaPids: readonly number[]): FleetCpu {
  const own = process.cpuUsage();
  const sumMs = (all: readonly number[], msOf: (pid: number) => number) =>
    all.reduce((sum, pid) => sum + msOf(pid), 0);
  const lockNodePids = lockNodes.map(({ pid }) => pid);
  return {
    callersUs: own.user + own.system,
    replicasUs: sumMs(replicaPids, cpuMsOf) * 1_000,
    lockNodesUs: sumMs(lockNodePids, mainThreadMsOf) * 1_000,
    storeUs: mainThreadMsOf(store.pid) * 1_000,
  };
}

/** What each part has used since, for one of `count`. */
export function cpuSince(before: FleetCpu, after: FleetCpu, count = 1): FleetCpu {
  return {
    callersUs: (after.callersUs - before.callersUs) / count,
    replicasUs: (after.replicasUs - before.replicasUs) / count,
    lockNodesUs: (after.lockNodesUs - before.lockNodesUs) / count,
    storeUs: (after.storeUs - before.storeUs) / count,
  };
}
