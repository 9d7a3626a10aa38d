// @ts-check
// Receives the replica's state once a second while the page is visible, and shows it.

import { setText, showCounts, showLeases, showNodes, showNow, showSeconds, showWaits } from './tables.js';
import { WaitChart } from './wait-chart.js';
import * as words from './words.js';

/** @import { ConsoleState, Counted } from '../console-state.js' */

const EVENTS = 'console/events';
const AGAIN_MS = 2_000;
/** A stream that is silent for this long counts as disconnected. */
const SILENT_MS = 5_000;

/** @param {string} id */
function byId(id) {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no #${id}`);
  return element;
}

const chart = new WaitChart(byId('chart'), byId('readout'));
const seconds = /** @type {HTMLDetailsElement} */ (byId('seconds-details'));
/** The last state received. @type {ConsoleState | undefined} */
let shown;

// ——— the stream ———

/** @type {EventSource | undefined} */
let stream;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
let paused = false;

/** Listens only while the page is visible, so a hidden page costs the service nothing. */
function listen() {
  clearTimeout(timer);
  stream?.close();
  stream = undefined;
  if (paused || document.hidden) return;
  stream = new EventSource(EVENTS);
  stream.onmessage = ({ data }) => {
    expectMore();
    say('');
    show(JSON.parse(data));
  };
  // A browser stops retrying if the answer is not a stream, so this restarts the connection in both cases.
  stream.onerror = () => void disconnected();
  expectMore();
}

function expectMore() {
  clearTimeout(timer);
  timer = setTimeout(() => void disconnected(), SILENT_MS);
}

async function disconnected() {
  stream?.close();
  clearTimeout(timer);
  timer = setTimeout(listen, AGAIN_MS);
  const since = shown === undefined ? '' : ` The figures are from ${words.timeOfDay(shown.atMs)}.`;
  say(`${await whyLost()}${since}`);
}

/** An event source does not expose the status of its answer. */
async function whyLost() {
  try {
    const { status } = await fetch(EVENTS, { method: 'HEAD' });
    if (status === 401 || status === 403) return 'Your access has ended. Reload the page.';
    if (status === 503) return 'The replica is still starting, or too many pages are open. Retrying.';
  } catch {
    // No answer: report that.
  }
  return 'The replica does not answer. Retrying.';
}

/** @param {string} why the stream is disconnected; empty if it is not */
function say(why) {
  const notice = byId('connection');
  notice.hidden = why === '';
  if (notice.textContent === why) return;
  setText(notice, why);
  announce(why === '' ? 'Connected again.' : why);
}

/** So many are kept: one that is replaced at once may never be read out. */
const ANNOUNCEMENTS_MAX = 5;

/** Announces important changes to screen readers, not every second. @param {string} text */
function announce(text) {
  const said = document.createElement('p');
  said.textContent = text;
  const log = byId('announcements');
  log.append(said);
  while (log.childElementCount > ANNOUNCEMENTS_MAX) log.firstElementChild?.remove();
}

document.addEventListener('visibilitychange', listen);
byId('pause').addEventListener('click', () => {
  paused = !paused;
  byId('pause').setAttribute('aria-pressed', String(paused));
  setText(byId('pause'), paused ? 'Resume' : 'Pause');
  listen();
});
byId('filter').addEventListener('input', () => shown && showKeys(shown));
seconds.addEventListener('toggle', () => shown && showSecondsOf(shown));

// ——— what it shows ———

/** @param {ConsoleState} state */
function show(state) {
  announceChanges(state);
  const { replica, recent } = state;
  shown = state;
  byId('main').hidden = false;
  showReplica(replica);
  showFigures(state);
  showKeys(state);
  const minutes = minutesOf(recent.windowS);
  setText(byId('waits-about'), `Waits on this replica that ended in the last ${minutes}.`);
  chart.show(recent.waits.seconds, recent.windowS, lastSecondMs(state));
  showWaits(recent.waits.byEnd);
  showSecondsOf(state);
  showDecides(state);
  setText(byId('calls-about'), `Rates over the last ${recent.rateS} s, counts over the last ${minutes}.`);
  showCounts('answers', recent.answers);
  showCounts('publishes', recent.publishes);
  showCounts('lease-ends', recent.leaseEnds);
}

/** What has a row for each key, as far as the filter lets it. @param {ConsoleState} state */
function showKeys(state) {
  const { now, held, traceUrl } = state;
  const filter = /** @type {HTMLInputElement} */ (byId('filter')).value;
  const leases = held.leases.filter((lease) => words.isAbout(lease, filter));
  const waits = now.waits.keys.filter((wait) => words.isAbout(wait, filter));
  showNow(waits);
  byId('now').hidden = waits.length === 0;
  setText(byId('now-about'), nowAbout(state, waits.length));
  showLeases(leases, traceUrl);
  byId('leases').hidden = leases.length === 0;
  setText(byId('leases-about'), leasesAbout(state));
  const others = held.count - leases.length;
  byId('leases-rest').hidden = others === 0;
  const not = filter.trim() === '' ? 'not shown' : 'not shown, or not what the filter asks for';
  setText(byId('leases-rest'), `${words.counted(others, 'more lease is', 'more leases are')} held, ${not}.`);
}

/** @param {ConsoleState} state @param {number} rows */
function nowAbout({ now }, rows) {
  if (now.waits.count === 0) return 'No caller waits on this replica.';
  const waiting = words.counted(now.waiters, 'caller waits', 'callers wait');
  const keys = words.counted(now.waits.count, 'key', 'keys');
  const shownOf = rows === now.waits.count ? '' : ` ${words.whole(rows)} shown.`;
  return `${waiting} for ${keys}, the longest for ${words.duration(now.waits.longestMs)}.${shownOf}`;
}

/** @param {number} seconds */
const minutesOf = (seconds) => `${seconds / 60} min`;

/** @param {ConsoleState['replica']} replica */
function showReplica({ host, pid, grpc, version, mode, draining, uptimeMs, workers }) {
  document.title = `${draining ? 'Draining: ' : ''}Dibs ${host}`;
  setText(byId('host'), host);
  const said = [draining ? 'Draining' : 'Serving', mode, `gRPC at ${grpc.join(', ')}`];
  if (workers !== undefined) said.push(`${workers.serving} of ${workers.of} workers`);
  setText(
    byId('replica'),
    [...said, `version ${version}`, `process ${pid}`, `up ${words.longDuration(uptimeMs)}`].join(' · '),
  );
  const isShort = workers !== undefined && workers.serving < workers.of;
  byId('replica').classList.toggle('warn', draining || isShort);
}

/** @param {ConsoleState} state */
function showFigures({ now, held, recent }) {
  const sumOf = (/** @type {readonly Counted[]} */ counts, /** @type {'count' | 'perSecond'} */ what) =>
    counts.reduce((sum, counted) => sum + counted[what], 0);
  const hits = recent.answers.filter(({ name }) => name === 'hit' || name === 'stale');
  const minutes = minutesOf(recent.windowS);
  const voting = recent.nodes.filter(({ state }) => state === 'voting').length;
  const figures = [
    ['Waiting', words.whole(now.waiters)],
    ['Longest wait', now.waits.count === 0 ? words.NOTHING : words.duration(now.waits.longestMs)],
    ['Leases held', words.whole(held.count)],
    ['GetOrLock per s', words.rate(sumOf(recent.answers, 'perSecond'))],
    [`Hits, ${minutes}`, words.share(sumOf(hits, 'count'), sumOf(recent.answers, 'count'))],
    [`Saved, ${minutes}`, words.whole(recent.saved.count)],
    ['Near cache', words.size(now.nearCacheBytes)],
    ['Sessions', words.whole(now.sessions)],
    ...(recent.nodes.length === 0 ? [] : [['Nodes voting', `${voting} of ${recent.nodes.length}`]]),
  ];
  showPairs(byId('figures'), figures);
}

/** @param {HTMLElement} list @param {readonly string[][]} pairs as many each time */
function showPairs(list, pairs) {
  for (const [at, [name = '', value = '']] of pairs.entries()) {
    let pair = list.children[at];
    if (pair === undefined) {
      pair = document.createElement('div');
      pair.append(document.createElement('dt'), document.createElement('dd'));
      list.append(pair);
    }
    for (const [index, text] of [name, value].entries()) {
      const part = pair.children[index];
      if (part !== undefined) setText(part, text);
    }
  }
}

/** @param {ConsoleState} state */
function leasesAbout({ now, held }) {
  const elsewhere = Math.max(0, now.waiters - held.waiters);
  const here =
    held.count === 0
      ? 'This replica has granted no running lease.'
      : 'Granted by this replica, the most waiters first.';
  if (elsewhere === 0) return here;
  return `${here} ${words.counted(elsewhere, 'caller waits', 'callers wait')} here for a lease of another replica, or for a decision.`;
}

/** @param {ConsoleState} state */
function showSecondsOf(state) {
  if (seconds.open) showSeconds(state.recent.waits.seconds, lastSecondMs(state));
}

/** The start of the last complete second. @param {ConsoleState} state */
const lastSecondMs = ({ atMs, recent }) => atMs - recent.lastSecondAgoMs - 1_000;

/** @param {ConsoleState} state */
function showDecides({ replica, recent, now, atMs }) {
  const { mode, steps } = recent.degraded;
  const embedded = replica.mode === 'embedded';
  const level = embedded
    ? {
        name: 'This process',
        about: 'Embedded mode: locks and values are in memory and end with this process.',
      }
    : (words.LEVELS[mode] ?? { name: mode, about: '' });
  setText(byId('mode'), level.name);
  const isKnown = mode !== 'unknown';
  byId('mode').className = mode === 'none' ? 'good' : isKnown ? 'bad' : '';
  setText(byId('mode-about'), level.about);
  byId('degraded').hidden = embedded || mode === 'none' || !isKnown;
  setText(byId('degraded'), `${level.name}. ${level.about}`);
  byId('undecided').hidden = !now.undecided;
  setText(byId('undecided'), words.UNDECIDED);
  byId('nodes').hidden = embedded;
  showNodes(recent.nodes);
  byId('steps-title').hidden = embedded;
  byId('steps').hidden = embedded;
  const lines = steps.map(
    ({ from, to, agoMs }) =>
      `${words.timeOfDay(atMs - agoMs)}  ${words.LEVELS[from]?.name ?? from} → ${words.LEVELS[to]?.name ?? to}, ${words.longDuration(agoMs)} ago`,
  );
  if (lines.length === 0) lines.push('No change since the start.');
  const list = byId('steps');
  while (list.childElementCount > lines.length) list.lastElementChild?.remove();
  for (const [at, line] of lines.entries()) {
    setText(list.children[at] ?? list.appendChild(document.createElement('li')), line);
  }
}

/** @param {ConsoleState} state */
function announceChanges({ replica, recent, now }) {
  if (shown === undefined) return;
  const news = [];
  const before = shown;
  if (replica.host !== before.replica.host || replica.pid !== before.replica.pid) {
    news.push(`Another replica answers: ${replica.host}, process ${replica.pid}.`);
  } else if (replica.draining && !before.replica.draining) news.push('The replica is draining.');
  if (recent.degraded.mode !== before.recent.degraded.mode && before.recent.degraded.mode !== 'unknown') {
    news.push(`${words.LEVELS[recent.degraded.mode]?.name}.`);
  }
  if (now.undecided && !before.now.undecided) news.push(words.UNDECIDED);
  for (const [at, { node, state }] of recent.nodes.entries()) {
    if (before.recent.nodes[at]?.state !== state) news.push(`Lock node ${node} is ${state}.`);
  }
  if (news.length > 0) announce(news.join(' '));
}

listen();
