// Talks to the API of the server that the page came from.

const PATIENCE_MS = 5000;
const KEY = 'taskscheduler-token';

/** What went wrong with a question: `status` is 0 where no answer came. */
export class Trouble extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Keeps the token for this tab. */
export function useToken(token) {
  sessionStorage.setItem(KEY, token);
}

/** Whether there is a token. */
export function hasToken() {
  return sessionStorage.getItem(KEY) !== null;
}

/** Asks, and gives the JSON of a good answer. `alsoGood` are further statuses to take. */
export async function ask(method, path, alsoGood = []) {
  const headers = { Accept: 'application/json' };
  const token = sessionStorage.getItem(KEY);
  if (token) headers.Authorization = `Bearer ${token}`;
  let answer;
  let body;
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    answer = await fetch(path, { method, headers, signal, cache: 'no-store' });
    body = await answer.json().catch(() => null);
  } catch {
    throw new Trouble(0, 'The server does not answer.');
  }
  if (answer.ok || alsoGood.includes(answer.status)) return body;
  const detail = body && typeof body.detail === 'string' ? body.detail : answer.statusText;
  throw new Trouble(answer.status, detail);
}
