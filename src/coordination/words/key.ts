/** One key of one namespace, with the id under which every store and lock node keeps it. */
export interface Key {
  readonly namespace: string;
  readonly key: string;
  /** base64url of namespace, a zero byte, key: nothing that a user writes can break out of it. */
  readonly id: string;
}

export function keyOf(namespace: string, key: string): Key {
  return { namespace, key, id: Buffer.from(`${namespace}\0${key}`, 'utf8').toString('base64url') };
}

/** The namespace of the key behind an id. */
export function namespaceFromId(id: string): string {
  // A namespace of 64 bytes and the zero byte end within this many letters, and a key may have a thousand more.
  const start = Buffer.from(id.slice(0, 88), 'base64url');
  return start.toString('latin1', 0, start.indexOf(0));
}

/** The key behind an id. Inverse of {@link keyOf}. */
export function keyFromId(id: string): Key {
  const text = Buffer.from(id, 'base64url').toString('utf8');
  const zero = text.indexOf('\0');
  return { namespace: text.slice(0, zero), key: text.slice(zero + 1), id };
}
