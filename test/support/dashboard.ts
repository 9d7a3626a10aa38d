import { readFileSync } from 'node:fs';

interface Box {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

interface Override {
  readonly matcher: { readonly id: string; readonly options: string };
}

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: Box;
  readonly datasource?: { readonly uid: string };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
  readonly fieldConfig?: { readonly overrides: readonly Override[] };
}

interface Dashboard {
  readonly panels: readonly Panel[];
  readonly annotations: { readonly list: readonly { readonly expr: string }[] };
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly type: string; readonly definition?: string }[];
  };
}

/** The parts of the dashboard that the tests read. */
export const dashboard: Dashboard = JSON.parse(readFileSync('deploy/dashboards/dibs.json', 'utf8'));

export const panels = dashboard.panels.filter(({ type }) => type !== 'row');

/** A panel's queries as Prometheus receives them, with Grafana's interval filled in. */
export function queriesOf(panel: Panel): { readonly expr: string; readonly legend: string }[] {
  return (panel.targets ?? []).map(({ expr, legendFormat }) => ({
    expr: expr.replaceAll('$__rate_interval', '5m'),
    legend: legendFormat,
  }));
}

/** The queries that fill the dashboard's variables. */
export function variableQueries(): { readonly selector: string; readonly label: string }[] {
  return dashboard.templating.list.flatMap(({ definition }) => {
    if (definition === undefined) return [];
    const [, selector, label] = /^label_values\((.+), (\w+)\)$/.exec(definition) ?? [];
    if (selector === undefined || label === undefined) throw new Error(`not label_values: ${definition}`);
    return [{ selector, label }];
  });
}
