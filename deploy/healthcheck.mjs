// The image's HEALTHCHECK, because the image has no curl. Exits with 0 if /healthz answers, else with 1.
import { get } from 'node:http';
import { get as getByTls } from 'node:https';

const listen = process.env.DIBS_HTTP_LISTEN?.trim() || '127.0.0.1:9464';
// The address for "all interfaces" cannot be called.
const address = listen.replace(/^0\.0\.0\.0:/, '127.0.0.1:').replace(/^\[::\]:/, '[::1]:');
const isTls = (process.env.DIBS_TLS_CERT?.trim() ?? '') !== '';
const url = `${isTls ? 'https' : 'http'}://${address}/healthz`;
try {
  const status = await new Promise((resolve, reject) => {
    // The certificate names the service, not this address. Liveness does not depend on it.
    const options = { timeout: 2_000, rejectUnauthorized: false };
    const request = (isTls ? getByTls : get)(url, options, ({ statusCode }) => resolve(statusCode));
    request.on('timeout', () => request.destroy(new Error('no answer within 2000 ms')));
    request.on('error', reject);
  });
  if (status !== 200) throw new Error(`it answered ${status}`);
  process.exit(0);
} catch (error) {
  console.error(`${url}: ${error.message}`);
  process.exit(1);
}
