'use strict';
// Everything that is shown at a moment comes from the report itself, which stands in the page once.
const report = JSON.parse(document.getElementById('report').textContent);

const round = (value, digits) => Math.round(value * digits) / digits;
const percent = value => `${round(value, 100)} %`;
const millis = value => value >= 1000 ? `${Math.round(value / 10) / 100} s` : `${round(value, 10)} ms`;
const shorten = text => text.replace(/[0-9][0-9.eE+-]*/g, number =>
  number.length > 8 && isFinite(number) ? String(Number(Number(number).toPrecision(6))) : number);
const clock = at => {
  const pad = number => String(number).padStart(2, '0');
  const [hours, minutes, seconds] = [Math.floor(at / 3600000), Math.floor(at / 60000) % 60, Math.floor(at / 1000) % 60];
  const rest = `${pad(seconds)}.${Math.floor(at % 1000 / 100)}`;
  return hours > 0 ? `${hours}:${pad(minutes)}:${rest}` : `${minutes}:${rest}`;
};

/** The index of the last entry at or before a moment; -1 before the first. */
const last = (list, at) => {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].atMillis <= at) low = middle + 1; else high = middle;
  }
  return low - 1;
};

/** What the label with this key shows at a moment. */
function valueAt(rollout, first, key, at) {
  const [kind, ...words] = key.split(' ');
  if (kind === 'split') {
    const point = rollout.split[last(rollout.split, at)];
    const share = point && point[words[0] === 'acked' ? 'acknowledged' : words[0]];
    if (share == null) return '–';
    return percent(first.includes(point.revision) ? 100 - share : share);
  }
  if (kind === 'evidence') {
    const [what, metric] = [words[0], words.slice(1).join(' ')];
    let found = null;
    for (const run of rollout.runs) {
      for (const taken of run.measurements) {
        if (taken.metric === metric && taken.atMillis <= at && !(found && found.atMillis > taken.atMillis)) found = taken;
      }
    }
    if (!found) return '–';
    return what === 'value' ? shorten(found.value || 'no value') : found.verdict;
  }
  const version = rollout.revisions.find(version => version.revision === Number(words[0]));
  if (kind === 'pods') {
    const point = rollout.pods[last(rollout.pods, at)];
    const pods = point && point.pods.find(pods => pods.revision === version.revision || version.earlier.includes(pods.revision));
    return pods ? `${pods.available}/${pods.wanted}` : '0/0';
  }
  // A sample is about the time since the one before it.
  const index = last(version.samples, at - 1) + 1;
  const value = index > 0 && index < version.samples.length ? version.samples[index][words[1]] : null;
  if (value == null) return '–';
  return words[1] === 'errorRate' ? percent(value * 100) : millis(value);
}

function connect(section) {
  const { simulation, rollout: place, from, until, first: numbers } = section.dataset;
  const rollout = report.simulations[simulation].rollouts[place];
  const first = numbers.split(' ').filter(Boolean).map(Number);
  const [begin, end] = [Number(from), Number(until)];
  const plots = section.querySelector('.plots');
  const over = section.querySelector('.over');
  const [cursor, pin] = [over.querySelector('.cursor'), over.querySelector('.pinned')];
  const values = [...section.querySelectorAll('[data-value]')];
  const atRest = values.map(value => value.textContent);
  const rows = [...section.querySelectorAll('.row')];
  const moments = [...new Set(rows.map(row => Number(row.dataset.at)).filter(at => at >= begin && at <= end))];
  let pinned = null;
  let near = null;

  const left = at => `${(Math.min(Math.max(at, begin), end) - begin) * 100 / (end - begin)}%`;

  /** Shows the values at a moment in all plots; at `null` those of the pinned moment, or of the end. */
  function show(at) {
    const moment = at ?? pinned;
    cursor.hidden = moment === null;
    if (near) near.classList.remove('near');
    near = null;
    values.forEach((value, index) => {
      value.textContent = moment === null ? atRest[index] : valueAt(rollout, first, value.dataset.value, moment);
    });
    if (moment === null) {
      plots.removeAttribute('aria-valuetext');
      return;
    }
    cursor.style.left = left(moment);
    cursor.firstChild.textContent = clock(moment);
    near = rows.filter(row => Number(row.dataset.at) <= moment).pop();
    if (near) near.classList.add('near');
    plots.setAttribute('aria-valuenow', Math.round(moment));
    const named = value => `${value.previousElementSibling.textContent} ${value.textContent}`;
    plots.setAttribute('aria-valuetext', `${clock(moment)}: ${values.map(named).join(', ')}`);
  }

  /** Marks a moment until another one is marked. */
  function mark(at, row) {
    rows.forEach(other => other.classList.toggle('at', other === row));
    pinned = at;
    pin.hidden = at === null;
    if (at !== null) pin.style.left = left(at);
    show(null);
  }

  /** Brings the row of the moment into view where the timeline scrolls by itself; the page stays where it is. */
  function follow() {
    const list = section.querySelector('aside > div');
    if (!near || list.scrollHeight <= list.clientHeight) return;
    const [row, box] = [near.getBoundingClientRect(), list.getBoundingClientRect()];
    if (row.top < box.top || row.bottom > box.bottom) list.scrollTop += row.top - box.top - box.height / 2;
  }

  const under = event => {
    const box = over.getBoundingClientRect();
    return begin + Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * (end - begin);
  };
  plots.addEventListener('pointermove', event => { show(under(event)); follow(); });
  plots.addEventListener('pointerleave', () => show(null));
  plots.addEventListener('click', event => mark(under(event), null));
  plots.addEventListener('blur', () => show(null));
  plots.addEventListener('keydown', event => {
    const now = Number(plots.getAttribute('aria-valuenow'));
    const next = {
      ArrowRight: () => moments.find(at => at > now) ?? end,
      ArrowLeft: () => moments.filter(at => at < now).pop() ?? begin,
      Home: () => begin,
      End: () => end,
    }[event.key];
    if (event.key === 'Escape') mark(null, null);
    if (!next) return;
    event.preventDefault();
    show(next());
    follow();
  });

  const choose = row => {
    mark(Number(row.dataset.at), row);
    // The address then leads to this moment. Some browsers forbid that for files.
    try { history.replaceState(null, '', `#${section.id}@${row.dataset.at}`); } catch { /* the mark is there */ }
  };
  rows.forEach(row => row.addEventListener('click', () => {
    choose(row);
    plots.scrollIntoView({ block: 'nearest' });
  }));
  const [id, at] = location.hash.slice(1).split('@');
  const row = id === section.id && rows.find(row => row.dataset.at === at);
  if (row) {
    choose(row);
    row.scrollIntoView({ block: 'nearest' });
    section.scrollIntoView();
  }
}

document.querySelectorAll('section').forEach(connect);
addEventListener('beforeprint', () => document.querySelectorAll('details').forEach(details => { details.open = true; }));
