/** A gRPC target's scheme, and the rest of it. Without a scheme, the whole target is a name. */
export function schemeOf(target: string): [scheme: string, rest: string] {
  const [, scheme = 'dns', rest = target] = /^(dns|unix|unix-abstract|ipv4|ipv6):(.*)$/s.exec(target) ?? [];
  return [scheme, rest];
}

/** Whether a target is `HOST:PORT,HOST:PORT`. */
export function isList(target: string): boolean {
  return target.includes(',') && schemeOf(target)[1] === target;
}

/** Whether a target names several addresses. */
export function hasSeveral(target: string): boolean {
  const [scheme, rest] = schemeOf(target);
  return !scheme.startsWith('unix') && rest.includes(',');
}
