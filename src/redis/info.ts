/** A field of Redis' INFO; undefined if it is missing or empty. */
export function infoField(info: string, name: string): string | undefined {
  return new RegExp(`^${name}:(.+?)\\r?$`, 'm').exec(info)?.[1];
}
