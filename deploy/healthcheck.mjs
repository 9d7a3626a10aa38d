// What the image's HEALTHCHECK runs, for there is no curl in it: ends with 0 where /healthz answers, else with 1.
const listen = process.env.DIBS_HTTP_LISTEN?.trim() || '127.0.0.1:9464';
// An address that means "all of mine" is none that one can call.
const address = listen.replace(/^0\.0\.0\.0:/, '127.0.0.1:').replace(/^\[::\]:/, '[::1]:');
try {
  const { ok, status } = await fetch(`http://${address}/healthz`, { signal: AbortSignal.timeout(2_000) });
  if (!ok) throw new Error(`it answered ${status}`);
} catch (error) {
  console.error(`http://${address}/healthz: ${error.cause?.message ?? error.message}`);
  process.exitCode = 1;
}
