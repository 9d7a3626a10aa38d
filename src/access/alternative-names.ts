/**
 * One name of a certificate as node writes it, up to the comma. What is special in a name, a comma too, stands
 * within quotes: a name in quotes is never taken for one of ours, nor a part of it.
 */
const NAME = /([A-Za-z][A-Za-z ]*):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y;

/**
 * The DNS names and URIs among a certificate's subject alternative names, with their kind before them:
 * `DNS:checkout.shop.svc`. None where the text cannot be read to its end.
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
