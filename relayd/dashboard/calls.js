// The list of calls: rows are made once, found by a search, and opened to see where a call's time went.
'use strict';
const at = (id) => document.getElementById(id);
const CALLS_MAX = 1000;
const known = new Map(); // request id: its call and its row

function make(kind, text = '', style = '') {
  const made = document.createElement(kind);
  made.textContent = text;
  if (style) made.className = style;
  return made;
}
const seconds = (value) => value ? `${value.toFixed(2)} s` : '';
const dollars = (value) => value ? value.toFixed(value < 0.01 ? 5 : 3) : '';

function takeCalls(calls) { // the latest first
  const body = at('calls');
  let place = body.firstChild;
  for (const call of calls) {
    const found = known.get(call.id);
    if (found) {
      place = found.row.nextSibling;
      if (place?.classList.contains('open')) place = place.nextSibling;
      continue;
    }
    const row = callRow(call);
    known.set(call.id, { call, row });
    body.insertBefore(row, place);
  }
  while (known.size > CALLS_MAX) {
    const last = body.lastChild;
    if (last.classList.contains('open')) last.remove();
    else { known.delete(last.dataset.id); last.remove(); }
  }
  filterCalls();
}

function callRow(call) {
  const row = make('tr');
  row.dataset.id = call.id;
  const time = make('td');
  const button = make('button', new Date(1000 * call.at).toLocaleTimeString(), 'link');
  button.type = 'button';
  button.setAttribute('aria-expanded', 'false');
  button.onclick = () => openCall(call, row, button);
  time.append(button);
  const tokens = call.tokens;
  row.append(
    time, make('td', call.status, call.status === 200 ? 'good' : 'bad'), make('td', call.model), make('td', call.key), make('td', call.road),
    make('td', seconds(call.queue_s), 'n'), make('td', seconds(call.first_s), 'n'), make('td', seconds(call.total_s), 'n'),
    make('td', tokens.input_tokens ?? '', 'n'), make('td', tokens.cache_read_input_tokens ?? '', 'n'), make('td', tokens.output_tokens ?? '', 'n'),
    make('td', dollars(call.cost_usd), 'n'), make('td', call.error || call.stop_reason),
  );
  return row;
}

function openCall(call, row, button) {
  const isOpen = button.getAttribute('aria-expanded') === 'true';
  button.setAttribute('aria-expanded', String(!isOpen));
  if (isOpen) {
    row.nextSibling.remove();
    return;
  }
  const opened = make('tr', '', 'open');
  const cell = make('td');
  cell.colSpan = row.children.length;
  const first = call.first_s || call.total_s;
  const parts = [
    ['queue', 'waits for a process', call.queue_s],
    ['work', `Claude Code, ${call.road || 'no road'}, until the first part`, Math.max(0, first - call.queue_s)],
    ['rest', 'the rest of the answer', Math.max(0, call.total_s - first)],
  ];
  const bar = make('div', '', 'timeline');
  bar.setAttribute('role', 'img');
  bar.setAttribute('aria-label', 'Where its time went');
  const list = make('ul', '', 'legend');
  for (const [style, text, length] of parts) {
    const piece = make('span', '', style);
    piece.style.flexGrow = String(length);
    bar.append(piece);
    const line = make('li', `${text}: ${length.toFixed(3)} s`);
    line.prepend(make('i', '', style));
    list.append(line);
  }
  cell.append(bar, list, make('p', `${call.id}, ${call.route}${call.stream ? ', streamed' : ''}`, 'hint'));
  opened.append(cell);
  row.after(opened);
}

function filterCalls() {
  const words = at('search').value.toLowerCase().split(/\s+/).filter(Boolean);
  const which = at('which').value;
  let shown = 0;
  for (const { call, row } of known.values()) {
    const text = [call.id, call.route, call.model, call.key, call.profile, call.road, call.status, call.error, call.stop_reason].join(' ').toLowerCase();
    const fits = words.every((word) => text.includes(word)) && (!which || (which === 'good') === (call.status === 200));
    row.hidden = !fits;
    if (row.nextSibling?.classList?.contains('open')) row.nextSibling.hidden = !fits;
    shown += fits;
  }
  at('found').textContent = `${shown} of ${known.size}`;
}
at('search').oninput = filterCalls;
at('which').onchange = filterCalls;
