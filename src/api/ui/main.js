// The page: asks once a second while it is seen, and shows what came.

import { ask, hasToken, useToken } from '/ui/ask.js';
import { barRow, fillBar, keep, make, say, showFailures, showLatest } from '/ui/lists.js';
import { bytes, count, percent, rate, span, tone } from '/ui/words.js';

const EVERY_MS = 1000;
const RATE_OVER_MS = 5000;
const LATEST = '/api/v1/tasks?size=12&sort=id,desc';
const FAILURES = '/api/v1/tasks?status=FAILED&size=8&sort=id,desc';
const BANDS = ['CRITICAL', 'HIGH', 'MEDIUM', 'LOW', 'BULK'];
const STATUSES = [
  'pending', 'scheduled', 'queued', 'running', 'retrying', 'paused', 'completed', 'failed',
  'cancelled',
];

const at = (id) => document.getElementById(id);
const rows = (id) => at(id).tBodies[0];

/** Earlier totals, for the rates; those older than RATE_OVER_MS go, but for the youngest. */
let past = [];
let isPaused = false;
let isAsking = false;
let isAskedAgain = false;
let timer;

function rates(now, statistics) {
  const look = {
    now,
    submitted: statistics.totalTasks,
    completed: statistics.completedTasks,
    failed: statistics.failedTasks,
  };
  past.push(look);
  while (past.length > 2 && past[1].now < now - RATE_OVER_MS) past.shift();
  const first = past[0];
  const seconds = (now - first.now) / 1000;
  for (const name of ['submitted', 'completed', 'failed']) {
    // Totals fall when ended tasks are deleted; that is no rate.
    const perSecond = Math.max(0, look[name] - first[name]) / seconds;
    say(at(`rate-${name}`), seconds > 0 ? rate(perSecond) : '–');
  }
}

function showQueue(statistics) {
  const depth = statistics.queueDepth;
  const most = Math.max(1, ...Object.values(depth));
  keep(at('bands'), BANDS, (band) => band, () => barRow([]), (row, band) => {
    fillBar(row, band, count(depth[band] ?? 0), (depth[band] ?? 0) / most);
  });
}

function showCores(statistics) {
  const create = () => barRow(['number', 'number']);
  keep(at('cores'), statistics.cores, (core) => core.core, create, (row, core) => {
    const name = core.cpu === undefined ? `${core.core}` : `${core.core} on CPU ${core.cpu}`;
    const others = [count(core.executed), count(core.stolen)];
    fillBar(row, name, percent(core.busyShare), core.busyShare, others);
  });
}

function showStatuses(statistics) {
  const create = () => {
    const row = make('tr');
    const name = make('th');
    name.scope = 'row';
    row.append(name, make('td', 'number'));
    return row;
  };
  keep(at('statuses'), STATUSES, (status) => status, create, ({ cells }, status) => {
    say(cells[0], status.toUpperCase());
    say(cells[1], count(statistics[`${status}Tasks`] ?? 0));
  });
}

function showStatistics(statistics) {
  say(at('node'), statistics.node);
  say(at('nodes'), statistics.nodes > 1 ? `one of ${statistics.nodes} nodes` : '');
  say(at('queued'), count(statistics.queuedTasks));
  say(at('oldest'), statistics.oldestQueuedAgeMs > 0 ? span(statistics.oldestQueuedAgeMs) : '–');
  say(at('per-minute'), count(statistics.tasksPerMinute));
  say(at('retry-rate'), percent(statistics.retryRate));
  showQueue(statistics);
  showCores(statistics);
  showStatuses(statistics);
}

function showHealth(health) {
  say(at('state'), health.status);
  at('state').className = `badge ${tone(health.status)}`;
  const { db, diskSpace } = health.components ?? {};
  if (db) say(at('store'), `store ${db.status}: ${db.details?.database ?? ''}`);
  const free = diskSpace?.details?.free;
  say(at('disk'), free === undefined ? '' : `${bytes(free)} free`);
}

function showTrouble(trouble) {
  const wantsToken = trouble?.status === 401;
  at('token-form').hidden = !wantsToken;
  at('content').hidden = wantsToken;
  at('content').classList.toggle('stale', Boolean(trouble));
  at('trouble').hidden = !trouble;
  if (!trouble) return;
  const words = wantsToken && !hasToken() ? 'Nothing is shown without a token.' : trouble.message;
  say(at('trouble'), trouble.status === 0 ? `${words} It is asked again every second.` : words);
  if (trouble.status === 0) {
    say(at('state'), 'offline');
    at('state').className = 'badge bad';
  }
  past = [];
}

/** Asks everything and shows it; one round at a time. */
async function round() {
  if (isAsking) {
    isAskedAgain = true;
    return;
  }
  isAsking = true;
  try {
    showHealth(await ask('GET', '/actuator/health/detailed', [503]));
    const [statistics, latest, failures] = await Promise.all([
      ask('GET', '/api/v1/tasks/statistics'),
      ask('GET', LATEST),
      ask('GET', FAILURES),
    ]);
    rates(performance.now(), statistics);
    showStatistics(statistics);
    const now = Date.now();
    showLatest(rows('latest'), latest.content, now, act);
    showFailures(rows('failures'), failures.content, now, act);
    for (const [list, none] of [['latest', 'no-tasks'], ['failures', 'no-failures']]) {
      const isEmpty = rows(list).rows.length === 0;
      at(list).hidden = isEmpty;
      at(none).hidden = !isEmpty;
    }
    showTrouble(null);
    say(at('updated'), `updated ${new Date().toLocaleTimeString()}`);
  } catch (trouble) {
    showTrouble(trouble);
  } finally {
    isAsking = false;
    if (isAskedAgain) {
      isAskedAgain = false;
      round();
    }
  }
}

/** Does with a task what its button says. */
async function act(verb, id, button) {
  button.disabled = true;
  try {
    const answer = await ask('POST', `/api/v1/tasks/${id}/${verb}`);
    say(at('said'), `Task ${id}: ${answer.message}.`);
  } catch (trouble) {
    say(at('said'), `Task ${id} was left as it is: ${trouble.message}`);
  } finally {
    button.disabled = false;
  }
  round();
}

/** Runs while somebody looks and has not paused. */
function schedule() {
  clearInterval(timer);
  if (isPaused || document.hidden) {
    say(at('updated'), isPaused ? 'paused' : '');
    // A rate over the pause would be no rate of now.
    past = [];
    return;
  }
  round();
  timer = setInterval(round, EVERY_MS);
}

at('pause').addEventListener('click', () => {
  isPaused = !isPaused;
  at('pause').setAttribute('aria-pressed', String(isPaused));
  say(at('pause'), isPaused ? 'Resume' : 'Pause');
  schedule();
});
at('token-form').addEventListener('submit', (event) => {
  event.preventDefault();
  useToken(at('token').value.trim());
  at('token').value = '';
  round();
});
document.addEventListener('visibilitychange', schedule);

at('example').textContent = `curl -X POST ${location.origin}/api/v1/tasks \\
  -H 'Content-Type: application/json' \\
  -d '{"taskName": "first", "taskType": "ECHO", "payload": "hello"}'`;
schedule();
