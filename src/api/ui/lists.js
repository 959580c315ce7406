// Tables that are brought up to date in place: a row stays the same element as long as its task is
// shown, so that a focused button, a selection and the scroll position survive. Cells hold texts;
// nothing here ever reads one as markup.

import { ago, span, tone } from '/ui/words.js';

/** Sets a text if it is another one. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Makes an element with classes and a text. */
export function make(name, classes = '', text = '') {
  const element = document.createElement(name);
  if (classes) element.className = classes;
  if (text) element.textContent = text;
  return element;
}

/** Makes `body`'s rows those of `items`, in their order; `key` names an item. */
export function keep(body, items, key, create, update) {
  const rows = new Map(Array.from(body.rows, (row) => [row.dataset.key, row]));
  let place = body.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let row = rows.get(name);
    if (row) {
      rows.delete(name);
    } else {
      row = create(item);
      row.dataset.key = name;
    }
    update(row, item);
    if (row === place) place = place.nextElementSibling;
    else body.insertBefore(row, place);
  }
  for (const gone of rows.values()) gone.remove();
}

/** A row of a name, a number and a bar. */
export function barRow(classes) {
  const row = make('tr');
  const name = make('th');
  name.scope = 'row';
  row.append(name, make('td', 'number'));
  const bar = make('td', 'bar');
  bar.append(make('div'));
  row.append(bar, ...classes.map((one) => make('td', one)));
  return row;
}

/** Fills such a row. */
export function fillBar(row, name, number, share, others = []) {
  const [head, figure, bar, ...rest] = row.cells;
  say(head, name);
  say(figure, number);
  // What is little is still seen; what is nothing is not.
  const width = share > 0 ? Math.min(100, Math.max(1, share * 100)) : 0;
  bar.firstElementChild.style.width = `${width}%`;
  rest.forEach((cell, at) => say(cell, others[at] ?? ''));
}

const CANCELLABLE = ['PENDING', 'SCHEDULED', 'QUEUED', 'RUNNING', 'RETRYING', 'PAUSED'];
const RETRYABLE = ['FAILED', 'CANCELLED', 'RETRYING'];

/** What a person may do with a task: the verb of the API, or none. */
function actions(task) {
  const cancel = CANCELLABLE.includes(task.status) && !task.cancelRequested ? ['cancel'] : [];
  return RETRYABLE.includes(task.status) ? ['retry', ...cancel] : cancel;
}

function buttons(cell, task, act) {
  const wanted = actions(task);
  const have = Array.from(cell.children, (button) => button.dataset.verb);
  if (wanted.join() === have.join()) return;
  cell.replaceChildren(...wanted.map((verb) => {
    const button = make('button', '', verb === 'retry' ? 'Retry' : 'Cancel');
    button.type = 'button';
    button.dataset.verb = verb;
    button.setAttribute('aria-label', `${button.textContent} task ${task.id}`);
    button.addEventListener('click', () => act(verb, task.id, button));
    return button;
  }));
}

function time(cell, at, now) {
  say(cell, at ? ago(at, now) : '');
  cell.title = at ?? '';
}

function row(classes) {
  const made = make('tr');
  made.append(...classes.map((one) => make('td', one)));
  return made;
}

function text(cell, words) {
  say(cell, words ?? '');
  cell.title = words ?? '';
}

/** The latest tasks. */
export function showLatest(body, tasks, now, act) {
  const create = () => {
    const made = row(['number', 'text', 'text', '', '', '', 'number', '']);
    made.cells[4].append(make('span'));
    return made;
  };
  keep(body, tasks, (task) => task.id, create, ({ cells }, task) => {
    say(cells[0], String(task.id));
    text(cells[1], task.taskName);
    text(cells[2], task.taskType);
    say(cells[3], task.priority);
    const badge = cells[4].firstElementChild;
    say(badge, task.status);
    badge.className = `badge ${tone(task.status)}`;
    badge.title = task.waitingFor ? `waiting for a ${task.waitingFor}` : '';
    time(cells[5], task.createdAt, now);
    const took = task.executionDurationMs;
    say(cells[6], took === undefined ? '' : took < 1 ? '< 1 ms' : span(took));
    buttons(cells[7], task, act);
  });
}

/** The latest failures. */
export function showFailures(body, tasks, now, act) {
  const create = () => row(['number', 'text', 'text', 'text', '', '', '']);
  keep(body, tasks, (task) => task.id, create, ({ cells }, task) => {
    say(cells[0], String(task.id));
    text(cells[1], task.taskName);
    text(cells[2], task.taskType);
    text(cells[3], task.lastErrorMessage);
    say(cells[4], String((task.currentRetryCount ?? 0) + 1));
    time(cells[5], task.completedAt ?? task.updatedAt, now);
    buttons(cells[6], task, act);
  });
}
