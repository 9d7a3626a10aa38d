import { availableParallelism } from 'node:os';
import { type Config, loadConfig, modeOf } from '../config/config.js';
import type { FleetConfig } from '../config/fleet-environment.js';
import { certificateEndsOf } from '../config/tls-files.js';
import type { Chance, Clock } from '../coordination/ports/clock.js';
import { markedRun } from '../redis/examination.js';
import { lockNodeName } from '../redis/lock-node.js';
import { readStoreFormat } from '../redis/store-format.js';
import { examineCollectors } from './collector.js';
import { dated } from './dated.js';
import { tryEndToEnd } from './end-to-end.js';
import { type Diagnosis, type Finding, Findings } from './finding.js';
import { examineServer, type Reached } from './server.js';
import { tryVotes } from './votes.js';
import { examineWorkers } from './workers.js';

export interface DiagnosisTools {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly chance: Chance;
}

/** What all examinations of one run have in common. */
interface Run extends DiagnosisTools {
  readonly config: Config;
  readonly fleet: FleetConfig;
  readonly id: string;
}

/**
 * Examines everything that a replica with this environment would use. Throws ConfigError if a replica would refuse the
 * environment.
 */
export async function diagnose(tools: DiagnosisTools): Promise<Diagnosis> {
  const { env, clock, chance } = tools;
  const config = loadConfig(env);
  const { fleet } = config;
  const configuration = new Findings('configuration');
  examineConfiguration(config, configuration);
  const collector = new Findings('collector');
  const collected = examineCollectors(config.otel, env, clock, collector);
  const run = fleet && { ...tools, config, fleet, id: chance.nonce() };
  const ofFleet = run === undefined ? [] : await examineFleet(run);
  await collected;
  return { mode: modeOf(config), findings: [...configuration.all, ...ofFleet, ...collector.all] };
}

function examineConfiguration(config: Config, findings: Findings): void {
  const { suspicions, tls, fleet, auth } = config;
  findings.ok('environment', 'a replica would start with it');
  for (const { variable, nearest } of suspicions.unknownVariables) {
    const hint = nearest === undefined ? '' : `; did you mean ${nearest}?`;
    findings.warning('variables', `${variable} is unknown and has no effect${hint}`);
  }
  if (fleet === undefined) findings.ok('mode', 'embedded: one replica, without Redis');
  if (suspicions.embeddedBeyondLoopback) {
    const todo = 'set DIBS_QUORUM_NODES and DIBS_STORE_URL, or listen on loopback';
    findings.warning(
      'mode',
      `embedded, and reachable from other machines: a second replica would not coordinate with it; ${todo}`,
    );
  }
  examineWorkers(config, availableParallelism(), findings);
  for (const { variable, port, protocol } of suspicions.otlpMismatches) {
    const what =
      port === '443'
        ? `${variable} leads to port 443 without TLS; set its port, usually 4317`
        : `port ${port} of ${variable} usually does not speak ${protocol}; change the endpoint or OTEL_EXPORTER_OTLP_PROTOCOL`;
    findings.warning('otlp', what);
  }
  if (auth === undefined) findings.ok('access', 'no DIBS_AUTH_FILE: every caller may do everything');
  else if (suspicions.certificatesWithoutAuthority) {
    findings.warning(
      'access',
      'DIBS_AUTH_FILE names client certificates, but DIBS_TLS_CA is not set; set it',
    );
  } else findings.ok('access', 'DIBS_AUTH_FILE has no fault');
  for (const { variable, endMs } of tls === undefined ? [] : certificateEndsOf(tls.material)) {
    dated(findings, variable === 'DIBS_TLS_CERT' ? 'certificate' : 'authority', endMs);
  }
}

async function examineFleet(run: Run): Promise<readonly Finding[]> {
  const { fleet } = run;
  const groups = await Promise.all(
    fleet.lockGroups.map((group) => Promise.all(group.map((address) => examineNode(run, address)))),
  );
  const nodes = groups.flat();
  const store = new Findings('value store');
  const found = await examineServer(serverOf(run, 'store', fleet.store), store);
  const runs = nodes.map(({ reached }) => reached?.servers[0]?.run);
  const together = new Findings('lock nodes');
  checkSeparate(nodes, runs, together);
  for (const group of groups) {
    const [first] = group.map(({ name }) => name).sort();
    checkMajority(group, groups.length === 1 ? '' : ` in the group of ${first}`, together);
  }
  const endToEnd = new Findings('end to end');
  if (found !== undefined) {
    if (found.servers.some((server) => runs.includes(server.run))) {
      store.warning(
        'separate',
        'it is also a lock node, so one failure takes down both; use a separate Redis',
      );
    }
    await checkFormat(found, store);
    if (found.isFit)
      await tryEndToEnd({ ...run, ...commonOf(run), address: fleet.store, ...found }, endToEnd);
    else endToEnd.warning('skipped', 'the value store must be repaired first');
    found.connection.close();
  }
  return [...nodes.flatMap(({ findings }) => findings.all), ...together.all, ...store.all, ...endToEnd.all];
}

interface ExaminedNode {
  readonly name: string;
  readonly findings: Findings;
  readonly reached: Reached | undefined;
}

async function examineNode(
  run: Run,
  address: FleetConfig['lockGroups'][number][number],
): Promise<ExaminedNode> {
  const name = lockNodeName(address);
  const findings = new Findings(`lock node ${name}`);
  const reached = await examineServer(serverOf(run, 'lock', address), findings);
  if (reached === undefined) return { name, findings, reached };
  const { connection, servers, isFit } = reached;
  const ownRun = servers[0]?.run ?? '';
  try {
    if (isFit && (await markedRun(connection)) === ownRun) {
      const nonce = run.chance.nonce();
      await tryVotes({ ...run, ...commonOf(run), address, nonce, run: ownRun }, findings);
    } else if (isFit) {
      findings.ok(
        'votes',
        'not yet: no replica has used this node since it started, or the longest lease is still running',
      );
    }
  } catch (error) {
    findings.fault('votes', (error as Error).message);
  }
  connection.close();
  return { name, findings, reached };
}

function checkSeparate(
  nodes: readonly ExaminedNode[],
  runs: readonly (string | undefined)[],
  to: Findings,
): void {
  for (const [at, one] of nodes.entries()) {
    const first = runs.indexOf(runs[at]);
    if (runs[at] === undefined || first === at) continue;
    const same = `${one.name} and ${nodes[first]?.name} are the same Redis`;
    to.fault('separate', `${same}; the second does not vote: each needs its own Redis`);
  }
}

/** `where`: which group of several. */
function checkMajority(nodes: readonly ExaminedNode[], where: string, to: Findings): void {
  const fit = new Set(nodes.flatMap(({ reached }) => (reached?.isFit ? [reached.servers[0]?.run] : []))).size;
  const majority = (nodes.length + 1) / 2;
  const count = `${fit} of ${nodes.length} are fit${where}`;
  if (fit < majority)
    to.fault('majority', `${count}, and ${majority} are needed: leases would be DEGRADED_QUORUM_LOST`);
  else to.ok('majority', `${count}, and ${majority} are needed`);
}

async function checkFormat({ connection }: Reached, to: Findings): Promise<void> {
  try {
    const format = await readStoreFormat(connection);
    to.ok('format', format === null ? 'no replica has used it yet' : `this version knows format ${format}`);
  } catch (error) {
    to.fault('format', (error as Error).message);
  }
}

function serverOf(run: Run, role: 'lock' | 'store', address: FleetConfig['store']) {
  return { role, address, ...commonOf(run) };
}

function commonOf({ config, fleet, clock, id }: Run) {
  const { limits } = config;
  return { ca: fleet.redisCa, silenceMs: limits.silenceMs, limits, clock, id };
}
