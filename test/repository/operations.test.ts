import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config/config.js';
import { RELOADED } from '../../src/config/reloads.js';
import { LOG } from '../../src/telemetry/log-texts.js';
import { METRICS, WORKER_METRICS } from '../../src/telemetry/names.js';
import { ALERT_PAGES, readAlertRules } from '../support/alert-rules.js';
import { dashboard, type Panel, panels } from '../support/dashboard.js';
import { CLIENT_VARIABLES, variablesRead } from '../support/variables-read.js';

// The pages and dashboards for people on call. test/integration/dashboards.test.ts runs the queries on a real replica.

const FOLDER = 'deploy/operations';
const pages = readdirSync(FOLDER).map((name) => join(FOLDER, name));
const text = (path: string) => readFileSync(path, 'utf8');
const { alerts } = readAlertRules();
const MESSAGES: readonly string[] = [...Object.values(LOG), ...Object.values(RELOADED)];
/** The first words of each log message, with which a quotation begins. */
const OPENINGS = MESSAGES.map((message) => /^[a-z ]+(?=:)|^[a-z]+ [a-z]+/.exec(message)?.[0] ?? message);
/** All pages of the repository. */
const everyPage = execFileSync('git', ['ls-files', '*.md'], { encoding: 'utf8' }).trim().split('\n');

/** Returns the sections of the second level by heading. */
function sectionsOf(path: string): Map<string, string> {
  const [, ...sections] = text(path).split(/^## /m);
  return new Map(sections.map((section) => [/^.*/.exec(section)?.[0] ?? '', section]));
}

/** Returns the anchor that GitHub gives a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^a-z0-9_ -]/g, '')
    .replaceAll(' ', '-');
}

/** Returns the page that an alert links to. */
function pageOf({ annotations }: (typeof alerts)[number]): string {
  return new URL(annotations.runbook_url).pathname.replace(/^.*\/blob\/main\//, '');
}

function anchorsOf(path: string): string[] {
  return [...text(path).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => anchorOf(heading));
}

function codeOf(folder: string): string {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return files.flatMap((file) => (/\.(ts|lua)$/.test(file) ? [text(join(folder, file))] : [])).join('\n');
}

describe('the pages of the alerts', () => {
  it.each(Object.values(ALERT_PAGES).flat())(
    'have one section for each alert that links to %s, in the order of the rules',
    (page) => {
      const named = alerts.filter((rule) => pageOf(rule) === page).map(({ alert }) => alert);
      expect([...sectionsOf(page).keys()]).toEqual(named);
    },
  );

  it.each(alerts)('$alert links to its section, which says what to do', (rule) => {
    const url = new URL(rule.annotations.runbook_url);
    const page = pageOf(rule);
    expect(ALERT_PAGES[rule.labels.severity]).toContain(page);
    expect(url.hash).toBe(`#${anchorOf(rule.alert)}`);
    const section = sectionsOf(page).get(rule.alert) ?? '';
    expect(section).toContain(`A *${rule.labels.severity}*.`);
    const parts = [...section.matchAll(/^- \*\*(.+?)\*\*:/gm)].map(([, name]) => name);
    expect(parts).toEqual(['Means', 'Users feel', 'Look at', 'Do']);
  });

  it.each(Object.values(ALERT_PAGES).flat())('%s names existing panels', (page) => {
    const named = [...text(page).matchAll(/"([A-Z][^"]+)"/g)].map(([, title]) => title);
    expect(named).not.toEqual([]);
    expect(panels.map(({ title }) => title)).toEqual(expect.arrayContaining(named));
  });
});

it.each(everyPage)('%s has no broken links', (page) => {
  // Generic calls of Go look like links: `f[T](x)`.
  const prose = text(page)
    .replaceAll(/^```.*?^```/gms, '')
    .replaceAll(/`[^`\n]*\w\[\w+\]\([^`\n]*`/g, '');
  const links = [...prose.matchAll(/\]\(([^)]+)\)/g)].map(([, link = '']) => link);
  const broken = links.filter((link) => {
    if (/^https?:/.test(link)) return false;
    const [file = '', anchor] = link.split('#');
    const path = file === '' ? page : join(dirname(page), file);
    return !existsSync(path) || (anchor !== undefined && !anchorsOf(path).includes(anchor));
  });
  expect(broken).toEqual([]);
});

describe.each(pages)('%s', (page) => {
  it('names only existing variables and metrics', () => {
    const variables = new Set([...variablesRead(), ...CLIENT_VARIABLES]);
    const named = text(page).match(/\bDIBS_[A-Z_]*[A-Z]\b/g) ?? [];
    expect(named.filter((name) => !variables.has(name))).toEqual([]);
    const metrics = text(page).match(/\bdibs_[a-z_]+[a-z]\b/g) ?? [];
    const exported: readonly string[] = [...Object.values(METRICS), ...Object.values(WORKER_METRICS)];
    expect(metrics.filter((name) => !exported.includes(name))).toEqual([]);
  });

  it('quotes log messages literally', () => {
    const quoted = [...text(page).matchAll(/`([a-z ]+(?: [a-z]+|: [A-Za-z_; ,]+))`/g)].map(
      ([, line = '']) => line,
    );
    const log = quoted.filter((line) => OPENINGS.some((opening) => line.startsWith(opening)));
    expect(log.filter((line) => !MESSAGES.some((message) => message.startsWith(line)))).toEqual([]);
  });
});

describe('the dashboard', () => {
  const { panels: all } = dashboard;

  it('has unique ids', () => {
    expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
  });

  it('places panels without overlap', () => {
    const overlap = (one: Panel, other: Panel) => {
      const [a, b] = [one.gridPos, other.gridPos];
      return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
    };
    const crowded = all.filter((one) => all.some((other) => other !== one && overlap(one, other)));
    expect(crowded.map(({ title }) => title)).toEqual([]);
    expect(all.filter(({ gridPos: { x, w } }) => x + w > 24)).toEqual([]);
  });

  it.each(panels)('describes "$title", and uses the chosen data source', (panel) => {
    expect(panel.description?.length).toBeGreaterThan(60);
    expect(panel.datasource?.uid).toBe(`\${${dashboard.templating.list[0]?.name}}`);
  });

  it('colours only names that the service uses', () => {
    const words = codeOf('src');
    const own = ['made', 'saved'];
    const named = panels
      .flatMap(({ fieldConfig }) => fieldConfig?.overrides.map(({ matcher }) => matcher) ?? [])
      .flatMap(({ id, options }) => (id === 'byName' ? [options] : []));
    expect(named.length).toBeGreaterThan(20);
    expect(named.filter((name) => !own.includes(name) && !words.includes(`'${name}'`))).toEqual([]);
  });
});

describe('the compose file', () => {
  it('gives each replica a valid configuration', () => {
    const { services } = parse(text('deploy/compose.yaml'), { merge: true });
    const ofImage = Object.fromEntries(
      [...text('Dockerfile').matchAll(/^.*\b(DIBS_\w+)=(\S+)/gm)].map(([, name = '', value = '']) => [
        name,
        value,
      ]),
    );
    for (const replica of ['dibs-1', 'dibs-2']) {
      const { environment } = services[replica];
      expect(Object.keys(environment).filter((name) => !/^(DIBS|OTEL)_/.test(name))).toEqual([]);
      const config = loadConfig({ ...ofImage, ...environment });
      expect(config).toMatchObject({ grpcListen: ['0.0.0.0:50051'], httpListen: { host: '0.0.0.0' } });
      expect(config.fleet?.lockGroups[0]).toHaveLength(5);
      expect(config.otel).toMatchObject({ traces: { kind: 'always_on' } });
      // Jaeger accepts no metrics.
      expect(config.otel.metrics).toBeUndefined();
    }
  });

  it('sets only variables that are read', () => {
    const read = variablesRead();
    const set = text('deploy/compose.yaml').match(/\bDIBS_[A-Z_]*[A-Z](?=:)/g) ?? [];
    expect(set.length).toBeGreaterThan(2);
    expect(set.filter((name) => !read.has(name))).toEqual([]);
  });
});
