/** How many callers wait on a replica now, according to its `/metrics`. */
export async function waitersOf(httpUrl: string): Promise<number> {
  const response = await fetch(`${httpUrl}/metrics`);
  const line = /^dibs_waiters(?:\{[^}]*\})? ([\d.e+]+)/m.exec(await response.text());
  return Number(line?.[1] ?? 0);
}
