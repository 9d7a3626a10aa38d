import { parser } from '@prometheus-io/lezer-promql';

type SyntaxNode = ReturnType<typeof parser.parse>['topNode'];

/** What a query uses of one metric. */
export interface Selector {
  readonly metric: string;
  /** For a regular expression, its alternatives. */
  readonly matchers: readonly { readonly label: string; readonly values: readonly string[] }[];
}

export interface Query {
  readonly selectors: readonly Selector[];
  /** Labels for grouping or matching, with the metrics that must have them. */
  readonly groupings: readonly { readonly labels: readonly string[]; readonly metrics: readonly string[] }[];
}

/** Parses a query with Prometheus' own grammar. Throws if the query is not valid. */
export function parseQuery(text: string): Query {
  const tree = parser.parse(text);
  const selectors: Selector[] = [];
  const groupings: { labels: string[]; metrics: string[] }[] = [];
  tree.iterate({
    enter: ({ node, type }) => {
      if (type.isError) throw new Error(`not PromQL at ${node.from}: ${text}`);
      if (type.name === 'VectorSelector') selectors.push(selectorOf(node, text));
      if (type.name === 'GroupingLabels') {
        // The clause belongs to the aggregation or operation whose operands have the labels.
        const whole = node.parent?.parent ?? tree.topNode;
        const metrics = within(whole, 'VectorSelector').map((it) => selectorOf(it, text).metric);
        groupings.push({ labels: within(node, 'LabelName').map((it) => textOf(it, text)), metrics });
      }
    },
  });
  return { selectors, groupings };
}

function selectorOf(node: SyntaxNode, text: string): Selector {
  const name = node.getChild('Identifier');
  if (name === null) throw new Error(`a selector without a metric: ${textOf(node, text)}`);
  const matchers = within(node, 'UnquotedLabelMatcher').map((matcher) => {
    const [label, value] = ['LabelName', 'StringLiteral'].map((kind) => {
      const part = matcher.getChild(kind);
      if (part === null) throw new Error(`not a matcher: ${textOf(matcher, text)}`);
      return textOf(part, text);
    }) as [string, string];
    const isRegex = within(matcher, 'EqlRegex').length + within(matcher, 'NeqRegex').length > 0;
    const said = JSON.parse(value) as string;
    return { label, values: isRegex ? said.split('|') : [said] };
  });
  return { metric: textOf(name, text), matchers };
}

function within(node: SyntaxNode, kind: string): SyntaxNode[] {
  const found: SyntaxNode[] = [];
  node.cursor().iterate((it) => {
    if (it.name === kind && it.from >= node.from && it.to <= node.to) found.push(it.node);
  });
  return found;
}

function textOf(node: SyntaxNode, text: string): string {
  return text.slice(node.from, node.to);
}
