/**
 * One name of a certificate as Node writes it, up to the comma. Node quotes names with special characters, commas
 * included. A quoted name never matches, and neither does a part of it.
 */
const NAME = /([A-Za-z][A-Za-z ]*):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y;

/**
 * The DNS names and URIs among a certificate's subject alternative names, with their kind: `DNS:checkout.shop.svc`.
 * Empty if the text cannot be parsed to its end.
 */
export function alternativeNames(subjectAltName: string): readonly string[] {
  const names: string[] = [];
  NAME.lastIndex = 0;
  while (NAME.lastIndex < subjectAltName.length) {
    const [, kind, name] = NAME.exec(subjectAltName) ?? [];
    if (kind === undefined || name === undefined) return [];
    if (name.startsWith('"')) continue;
    if (kind === 'DNS') names.push(`DNS:${name.toLowerCase()}`);
    if (kind === 'URI') names.push(`URI:${name}`);
  }
  return names;
}
