import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { optionsOf, someOf } from '../support/options.mjs';
import { Progress } from '../support/progress.mjs';
import { Adapter } from './adapter.js';
import {
  ANY_LANGUAGE,
  buildAdapter,
  type Column,
  columnsOf,
  LANGUAGES,
  type Language,
  missingFor,
} from './adapters.js';
import { uncovered } from './coverage.js';
import { runExamples } from './examples.js';
import { killedHolders } from './killed-holders.js';
import { ATTEMPTS_MAX, playAgainIfHeldUp } from './play-again.js';
import { polyglotStampede } from './polyglot.js';
import { polyglotAffinity } from './polyglot-affinity.js';
import { namespaceOf, readScenarios, type Scenario } from './scenario.js';
import { Stage } from './stage.js';

// npm run conformance                                   all scenarios in all languages
// npm run conformance -- --only TEXT --language go      some of them
// npm run conformance -- --kills 100                    no scenarios, but how soon a killed holder is replaced

const FOLDER = 'test/conformance';
/** On each, one scenario at a time may stop and restart the service. They wait more than they compute. */
const STAGES_MAX = 5;
const underCi = process.env.CI === 'true';

type Verdict = 'ok' | 'failed' | 'known' | 'passes' | '';
const MARKS: Readonly<Record<Verdict, string>> = {
  ok: '✓',
  failed: 'FAILED',
  known: 'known',
  passes: 'PASSES',
  '': '',
};

/** Adapter processes of one column, by actor. Scenarios share them, unless one kills them. */
class Troupe {
  readonly #adapters = new Map<string, Promise<Adapter>>();

  constructor(private readonly language: Language) {}

  async adapter(actor: string): Promise<Adapter> {
    const known = await this.#adapters.get(actor)?.catch(() => undefined);
    if (known !== undefined && !known.gone) return known;
    const started = Adapter.start(this.language);
    this.#adapters.set(actor, started);
    return started;
  }

  async end(): Promise<void> {
    for (const adapter of this.#adapters.values())
      await adapter.then((started) => started.kill()).catch(() => {});
  }
}

const {
  only = '',
  language: wanted,
  kills = 0,
} = optionsOf({ only: 'text', language: 'text', kills: 'number' });
const all = kills === 0 ? readScenarios(`${FOLDER}/scenarios`) : [];
const scenarios = all.filter(({ name, file }) => name.includes(only) || file.includes(only));
if (kills === 0) someOf(scenarios, 'scenario', only, [...new Set(all.map(({ file }) => file))]);
const columnNames = [...LANGUAGES, ANY_LANGUAGE].map(({ name }) => name);
for (const name of wanted?.split(',') ?? [])
  someOf(
    columnNames.filter((known) => known === name),
    'language',
    name,
    columnNames,
  );
const knownFailures = new Set<string>(parse(readFileSync(`${FOLDER}/known-failures.yaml`, 'utf8')) ?? []);

let skipped = 0;
const languages = [...LANGUAGES, ANY_LANGUAGE].filter((language) => {
  if (wanted !== undefined) return wanted.split(',').includes(language.name);
  const missing = missingFor(language);
  if (missing === undefined) return true;
  console.error(`\n*** SKIPPED: ${language.name}: \`${missing}\` does not work here\n`);
  skipped += 1;
  return false;
});
for (const language of languages) buildAdapter(language);
const columns = columnsOf(languages);
const verdicts = new Map<string, Verdict>();
const failures: string[] = [];
const facts: string[] = [];
/** What failed on a machine that held it up. */
const again: string[] = [];
/** How many other checks passed. */
let more = 0;
const cell = (scenario: Scenario, column: Column) => `${scenario.name} | ${column.name}`;

function appliesTo(scenario: Scenario, { session, language, bareLoop }: Column): boolean {
  const { only: mode, languages, except, bare_loop: isLoop = false } = scenario;
  if (bareLoop && !isLoop) return false;
  if (languages !== undefined && !languages.includes(language)) return false;
  if (except?.[language] !== undefined) return false;
  return mode === undefined || (mode === 'session') === session;
}

async function inColumn(
  stage: Stage,
  troupes: ReadonlyMap<string, Troupe>,
  scenario: Scenario,
  column: Column,
  heal = async () => {},
) {
  const name = cell(scenario, column);
  const isKnown = knownFailures.has(name);
  try {
    const adapter = (actor: string) => (troupes.get(column.name) as Troupe).adapter(actor);
    await playAgainIfHeldUp(scenario, { stage, column, adapter }, () => {
      again.push(name);
      return heal();
    });
    verdicts.set(name, isKnown ? 'passes' : 'ok');
    if (isKnown) failures.push(`${name}: is a known failure but passes. Remove it from the list`);
  } catch (error) {
    verdicts.set(name, isKnown ? 'known' : 'failed');
    if (!isKnown) failures.push(`${name}: ${error instanceof Error ? error.message : error}`);
  }
  progress.add();
}

function printMatrix(): void {
  const widest = Math.max(0, ...scenarios.map(({ name }) => name.length));
  const head = columns.map(({ name }) => name.padEnd(17)).join('');
  console.log(`\n${''.padEnd(widest)}  ${head}`);
  for (const scenario of scenarios) {
    const marks = columns
      .map((column) => MARKS[verdicts.get(cell(scenario, column)) ?? ''].padEnd(17))
      .join('');
    console.log(`${scenario.name.padEnd(widest)}  ${marks}`);
  }
}

async function playedBy(
  name: string,
  these: readonly Language[],
  played: (stage: Stage, adapters: readonly Adapter[]) => Promise<string>,
): Promise<void> {
  try {
    const adapters = these.map((language) => (troupes.get(language.name) as Troupe).adapter('a'));
    facts.push(await played(stage, await Promise.all(adapters)));
    more += 1;
  } catch (error) {
    failures.push(`${name}: ${error instanceof Error ? error.message : error}`);
  }
}

/** Runs what is not a scenario: the checks with all languages at once, and each language's examples. */
async function together(): Promise<void> {
  await playedBy('a stampede in all languages', languages, polyglotStampede);
  const withSessions = languages.filter(({ sessions }) => sessions);
  if (withSessions.length > 0)
    await playedBy('key affinity across languages', withSessions, polyglotAffinity);
  // TypeScript's examples belong to its own suite.
  for (const language of languages.filter(
    ({ name, bareLoop }) => name !== 'typescript' && bareLoop !== true,
  )) {
    const wrong = await runExamples(language);
    failures.push(...wrong);
    if (wrong.length === 0) more += 1;
  }
}

const policies = Object.fromEntries(
  scenarios.flatMap((scenario) =>
    columns.flatMap((column) =>
      scenario.policy === undefined
        ? []
        : Array.from({ length: ATTEMPTS_MAX }, (_, at) => [
            namespaceOf(scenario, column.name, at + 1),
            scenario.policy,
          ]),
    ),
  ),
);
const text = JSON.stringify(scenarios);
const targets = ['guarded', 'short'].filter((target) => text.includes(`"target":"${target}`));
const alone = scenarios.filter((scenario) => scenario.alone === true);
/** Where everything is played that leaves the service as it is. */
const stage = await Stage.open(policies, new Set(targets), false);
const troupes = new Map(
  columns.map((column) => [
    column.name,
    new Troupe(languages.find(({ name }) => name === column.language) as Language),
  ]),
);
/** Runs each client once, because first runs are slow, above all with all languages at once. */
async function warmUp(): Promise<void> {
  for (const column of columns) {
    const { name, session } = column;
    for (const actor of ['a', 'b']) {
      const adapter = await (troupes.get(name) as Troupe).adapter(actor);
      const target = stage.targetOf('r1');
      await adapter.open({ client: 'warm', target, namespace: 'warming', session });
      const rebuild = { value: '' };
      await adapter.act('get_or_rebuild', {
        client: 'warm',
        call: 'warm',
        key: `${name} ${actor}`,
        ttl_ms: 1,
        rebuild,
      });
      await adapter.act('close', { client: 'warm' });
    }
  }
}

/**
 * Plays the scenarios that run alone, on several stages at once, each with some of the columns. Each begins at another
 * scenario, because some take much of the machine.
 */
async function playAlone(): Promise<void> {
  const count = alone.length === 0 ? 0 : Math.min(columns.length, STAGES_MAX);
  const isOf = (column: Column, at: number) => columns.indexOf(column) % count === at;
  await Promise.all(
    Array.from({ length: count }, async (_, at) => {
      const own = await Stage.open(policies, new Set(targets), true);
      const first = Math.floor((at * alone.length) / count);
      try {
        for (const scenario of [...alone.slice(first), ...alone.slice(0, first)]) {
          for (const column of cast(scenario).filter((column) => isOf(column, at))) {
            await inColumn(own, troupes, scenario, column, () => own.heal());
            await own.heal();
          }
        }
      } finally {
        await own.close();
      }
    }),
  );
}

const cast = (scenario: Scenario) => columns.filter((column) => appliesTo(scenario, column));
const sessionLanguages = kills > 0 ? languages.filter(({ sessions }) => sessions) : [];
const progress =
  kills > 0
    ? new Progress('conformance', kills * sessionLanguages.length, 'killed holders')
    : new Progress(
        'conformance',
        scenarios.reduce((sum, scenario) => sum + cast(scenario).length, 0),
        'scenarios played',
      );
try {
  await warmUp();
  for (const language of sessionLanguages) {
    facts.push(await killedHolders(stage, language, kills, () => progress.add()));
  }
  for (const scenario of scenarios.filter((one) => !alone.includes(one))) {
    await Promise.all(cast(scenario).map((column) => inColumn(stage, troupes, scenario, column)));
  }
  await playAlone();
  if (only === undefined && kills === 0) await together();
} finally {
  progress.end();
  for (const troupe of troupes.values()) await troupe.end();
  await stage.close();
}

printMatrix();
for (const fact of facts) console.log(`\n${fact}`);
if (again.length > 0) console.log(`\nplayed again, because the machine held it up:\n  ${again.join('\n  ')}`);
for (const failure of failures) console.log(`\n${failure}`);
const left = only === undefined && kills === 0 ? uncovered(scenarios) : [];
if (left.length > 0) console.log(`\nno scenario has ${left.join(', ')}`);
const passed =
  more + [...verdicts.values()].filter((verdict) => verdict === 'ok' || verdict === 'known').length;
const failed = failures.length + left.length + (underCi ? skipped : 0);
// A failure's first line, again: the end of a long output is what is kept of it.
if (failures.length > 0) console.log();
for (const failure of failures.slice(0, 10)) console.log(failure.split('\n')[0]?.slice(0, 400));
console.log(`\n${passed} passed, ${failed} failed, ${underCi ? 0 : skipped} skipped`);
process.exitCode = failed > 0 ? 1 : 0;
