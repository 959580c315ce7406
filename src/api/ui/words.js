// Figures and times as people read them.

const whole = new Intl.NumberFormat('en');

/** A number with its thousands apart. */
export function count(number) {
  return whole.format(number);
}

/** So many a second; one digit more while they are few. */
export function rate(perSecond) {
  const digits = perSecond < 10 && perSecond > 0 ? 1 : 0;
  return `${whole.format(Number(perSecond.toFixed(digits)))}/s`;
}

/** A share of one. */
export function percent(share) {
  return `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
}

/** A length of time, in the unit that fits it. */
export function span(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = seconds / 60;
  if (minutes < 60) return `${Math.round(minutes)} min`;
  const hours = minutes / 60;
  return hours < 48 ? `${Math.round(hours)} h` : `${Math.round(hours / 24)} d`;
}

/** How long ago it was; the time itself belongs into the title. */
export function ago(time, now) {
  const ms = now - Date.parse(time);
  if (Number.isNaN(ms)) return '';
  return ms < 1000 ? 'now' : `${span(ms)} ago`;
}

/** So many bytes, in the unit that fits them. */
export function bytes(number) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (number >= 1024 && unit < units.length - 1) {
    number /= 1024;
    unit += 1;
  }
  return `${number < 10 && unit > 0 ? number.toFixed(1) : Math.round(number)} ${units[unit]}`;
}

/** Which of four colours a status has. The word always stands beside it. */
export function tone(status) {
  if (status === 'COMPLETED' || status === 'UP') return 'good';
  if (['FAILED', 'DOWN', 'OUT_OF_SERVICE'].includes(status)) return 'bad';
  return ['RUNNING', 'QUEUED'].includes(status) ? 'busy' : 'wait';
}
