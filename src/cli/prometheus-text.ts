/** One line of a scrape. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

// Every form of a sample in the text format (version 0.0.4). Ignores the timestamp.
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\s*\{(.*)\}\s*|\s+)(\S+)(?:\s+-?\d+)?$/;
const LABEL = /\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)/y;
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', '\\': '\\', '"': '"' };

/** Every sample in Prometheus' text format. Throws an Error that quotes the first invalid line. */
export function readPrometheusText(text: string): Sample[] {
  const samples = [];
  for (const line of text.split('\n').map((each) => each.trim())) {
    if (line === '' || line.startsWith('#')) continue;
    const [, name, labels = '', number] = SAMPLE.exec(line) ?? [];
    if (name === undefined || number === undefined) throw notOne(line);
    samples.push({ name, labels: labelsOf(labels.trim(), line), value: numberOf(number, line) });
  }
  return samples;
}

function labelsOf(text: string, line: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (LABEL.lastIndex = 0; LABEL.lastIndex < text.length; ) {
    const [, name, value] = LABEL.exec(text) ?? [];
    if (name === undefined || value === undefined) throw notOne(line);
    labels[name] = value.replaceAll(/\\(.)/g, (escaped, char) => ESCAPES[char] ?? escaped);
  }
  return labels;
}

function numberOf(text: string, line: string): number {
  const infinite = /^([+-]?)Inf$/i.exec(text);
  if (infinite !== null) return infinite[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  const value = Number(text);
  if (Number.isNaN(value) && text.toLowerCase() !== 'nan') throw notOne(line);
  return value;
}

function notOne(line: string): Error {
  return new Error(`invalid line in Prometheus' text format: ${line.slice(0, 100)}`);
}
