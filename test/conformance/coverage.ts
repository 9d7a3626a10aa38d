import { readFileSync } from 'node:fs';
import { loadFileDescriptorSetFromBuffer } from '@grpc/proto-loader';
import type { Scenario } from './scenario.js';

/** The values of the contract's enums that no scenario sends or expects. */
export function uncovered(scenarios: readonly Scenario[]): string[] {
  const used = new Set<string>();
  for (const { steps } of scenarios) collect(steps, used);
  return enumValues().filter((name) => !used.has(name));
}

/** All names except those that are never sent: the first values of enums that only answers have. */
function enumValues(): string[] {
  const set = loadFileDescriptorSetFromBuffer(readFileSync('src/grpc/generated/descriptor.binpb'));
  const asked = ['Intent', 'Stale', 'Read', 'InvalidateMode'];
  return Object.entries(set)
    .filter(
      ([name, definition]) =>
        name.startsWith('dibs.v1.') &&
        'format' in definition &&
        String(definition.format).includes('EnumDescriptorProto'),
    )
    .flatMap(([name, definition]) => {
      const { value } = (definition as unknown as { type: { value: { name: string; number: number }[] } })
        .type;
      const isAsked = asked.includes(name.slice('dibs.v1.'.length));
      return value.filter(({ number }) => isAsked || number !== 0).map((one) => one.name);
    });
}

function collect(of: unknown, used: Set<string>): void {
  if (typeof of === 'string') used.add(of);
  else if (typeof of === 'object' && of !== null) for (const one of Object.values(of)) collect(one, used);
}
