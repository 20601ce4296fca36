// The dashboard: one WebSocket in, the page out. Nothing is fetched from anywhere else.
'use strict';
const decoder = { bytes: (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)) };
const RETRY_MS = 1000;
let socket = null;
let terminal = null;
let watched = '';

function connect() {
  socket = new WebSocket(`ws://${location.host}/v1/live`);
  socket.onopen = () => {
    const token = sessionStorage.getItem('token');
    if (token) send({ token });
    if (watched) send({ watch: watched });
  };
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    ({ status: showStatus, calls: (told) => takeCalls(told.calls), terminal: showTerminal, token: askToken, dropped: showDropped })[message.type](message);
  };
  socket.onclose = () => {
    at('state').textContent = 'the daemon does not answer; trying again';
    at('state').className = 'lost';
    setTimeout(connect, RETRY_MS);
  };
}

function send(value) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(value));
}

function askToken(message) {
  if (!message.wrong && sessionStorage.getItem('token')) return;
  sessionStorage.removeItem('token');
  at('gate').hidden = false;
  at('main').hidden = true;
  at('wrong').hidden = !message.wrong;
  at('token').focus();
}

at('gate').onsubmit = (event) => {
  event.preventDefault();
  sessionStorage.setItem('token', at('token').value);
  at('token').value = '';
  send({ token: sessionStorage.getItem('token') });
};

function showStatus(status) {
  at('gate').hidden = true;
  at('main').hidden = false;
  at('state').textContent = `${status.status === 'ok' ? 'running' : 'ending'}, version ${status.version}`;
  at('state').className = status.status === 'ok' ? 'ok' : 'lost';
  at('limit').hidden = !status.rate_limit.limited;
  at('limit').textContent = `Usage limit reached; resets in ${duration(status.rate_limit.resets_in_s)}.`;
  showNumbers(status);
  showSlots(status.slots);
  takeCalls(status.recent);
  showPlan(status.plan);
  showTimeline(status.timeline);
  showKeys(status.statistics.keys);
  showOwn(status.statistics.own);
  loadModels();
}

function showNumbers(status) {
  const { tokens, own } = status.statistics;
  const count = own.counts.reduce((a, b) => a + b, 0);
  const numbers = [
    ['running calls', status.pool.running], ['waiting calls', status.pool.queued],
    ['processes', `${status.slots.length} of ${status.pool.max}`], ['answered', status.served],
    ['proven exact', status.witness.exact], ['changed, and stopped', status.witness.changed], ['not seen', status.witness.unseen],
    ['conversations', status.conversations.kept], ['input tokens', short(tokens.input_tokens)],
    ['from cache', short(tokens.cache_read_input_tokens)], ['into cache', short(tokens.cache_creation_input_tokens)],
    ['output tokens', short(tokens.output_tokens)], ['USD, by the API’s prices', dollars(status.statistics.cost_usd) || '–'], ['own work, mean', count ? `${(1000 * own.sum_s / count).toFixed(2)} ms` : '–'],
  ];
  at('numbers').replaceChildren(...numbers.map(([name, value]) => {
    const pair = make('div');
    pair.append(make('dt', name), make('dd', value));
    return pair;
  }));
}

function showSlots(slots) {
  const known = new Map([...at('slots').children].map((item) => [item.dataset.slot, item]));
  at('slots').replaceChildren(...slots.map((slot) => {
    const item = known.get(slot.slot) ?? slotItem(slot.slot);
    const [button] = item.children;
    button.setAttribute('aria-pressed', String(slot.slot === watched));
    button.firstChild.textContent = `${slot.state}, ${duration(slot.state_s)}`;
    button.lastChild.textContent = `${slot.slot.slice(0, 8)} · ${slot.key}`;
    return item;
  }));
}

function slotItem(name) {
  const item = make('li');
  item.dataset.slot = name;
  const button = make('button');
  button.type = 'button';
  button.append(make('span'), make('small'));
  button.onclick = () => watch(name);
  item.append(button);
  return item;
}

function showPlan(plan) {
  const names = { five_hour: 'Five hours', seven_day: 'Week' };
  at('plan-unknown').hidden = plan.known;
  at('plan').replaceChildren(...plan.windows.map((found) => {
    const item = make('li');
    const name = names[found.window] ?? found.window;
    const much = plan.warn_percent && found.used_percent >= plan.warn_percent;
    const bar = make('div', '', much ? 'meter much' : 'meter');
    bar.append(make('span'));
    bar.firstChild.style.width = `${Math.min(100, found.used_percent)}%`;
    const when = new Date(1000 * found.resets_at).toLocaleString([], { weekday: 'short', hour: '2-digit', minute: '2-digit' });
    item.append(make('strong', name), bar, make('span', `${found.used_percent} % used, resets ${when} (in ${duration(found.resets_in_s)})`));
    return item;
  }));
  const lines = Object.entries(plan.day).filter(([, points]) => points.length > 1);
  at('plan-line').hidden = !lines.length;
  if (!lines.length) return;
  const now = Date.now() / 1000;
  const drawing = svg('svg', { viewBox: '0 0 1440 200', preserveAspectRatio: 'none' });
  for (const level of [0, 50, 100]) drawing.append(svg('line', { x1: 0, x2: 1440, y1: 200 - 2 * level, y2: 200 - 2 * level, class: 'grid' }));
  for (const [window, points] of lines) {
    const shape = points.map(([when, percent]) => `${Math.round(1440 - (now - when) / 60)},${200 - 2 * Math.min(100, percent)}`).join(' ');
    drawing.append(svg('polyline', { points: shape, class: window }));
  }
  const words = lines.map(([window, points]) => `${names[window] ?? window}: ${points[0][1]} % to ${points.at(-1)[1]} %`).join('; ');
  at('plan-line').setAttribute('aria-label', `The windows over the last day. ${words}`);
  at('plan-line').replaceChildren(drawing, make('small', `The last day: ${words}`));
}

function showTimeline(timeline) {
  const last = Math.floor(Date.now() / 60000) * 60;
  const minutes = new Map(timeline.minutes.map(([when, calls, errors]) => [when, { calls, errors }]));
  const shown = [...Array(60).keys()].map((n) => minutes.get(last - 60 * (59 - n)) ?? { calls: 0, errors: 0 });
  const most = Math.max(1, ...shown.map(({ calls }) => calls));
  const total = shown.reduce((sum, { calls }) => sum + calls, 0);
  const wrong = shown.reduce((sum, { errors }) => sum + errors, 0);
  at('minutes').setAttribute('aria-label', `The last hour: ${total} calls, ${wrong} of them errors, at most ${most} a minute`);
  at('minutes').replaceChildren(...shown.map(({ calls, errors }, n) => {
    const bar = make('div');
    bar.style.height = `${100 * calls / most}%`;
    bar.title = `${calls} calls, ${errors} errors`;
    const part = make('b');
    part.style.height = calls ? `${100 * errors / calls}%` : '0';
    bar.append(part);
    if (n % 15 === 14) bar.append(make('span', n === 59 ? 'now' : `${n - 59} min`));
    return bar;
  }));
  at('roads').replaceChildren(...Object.entries(timeline.roads).map(([road, found]) => cells([road, found.calls, ...found.first_s.map(plain), ...found.total_s.map(plain)])));
}

function showKeys(keys) {
  at('keys').replaceChildren(...Object.entries(keys).map(([name, found]) => {
    const { tokens } = found;
    return cells([name || 'without a named key', found.calls, short(tokens.input_tokens), short(tokens.cache_read_input_tokens), short(tokens.output_tokens), dollars(found.cost_usd)]);
  }));
}

function cells(values) {
  const row = make('tr');
  const head = make('th', values[0]);
  head.scope = 'row';
  row.append(head, ...values.slice(1).map((value) => make('td', value, 'n')));
  return row;
}

function svg(kind, attributes) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function showOwn(own) {
  const most = Math.max(1, ...own.counts);
  at('own').replaceChildren(...own.counts.map((count, number) => {
    const bar = make('div');
    const bound = own.bounds_s[number];
    bar.style.height = `${100 * count / most}%`;
    bar.title = `${count} calls`;
    bar.append(make('span', bound === undefined ? 'more' : bound < 1 ? `${1000 * bound} ms` : `${bound} s`));
    return bar;
  }));
}

function watch(name) {
  watched = name === watched ? '' : name;
  at('screen').hidden = !watched;
  send({ watch: watched || null });
  for (const item of at('slots').children) item.firstChild.setAttribute('aria-pressed', String(item.dataset.slot === watched));
}
at('close').onclick = () => watch(watched);

function showTerminal(message) {
  if (message.slot !== watched) return;
  if (message.gone) {
    at('notice').textContent = 'This process has ended.';
    return;
  }
  if (message.reset) {
    terminal?.dispose();
    at('terminal').replaceChildren();
    terminal = new Terminal({ cols: message.columns, rows: message.rows, disableStdin: true, fontSize: 12, scrollback: 0, cursorBlink: false });
    terminal.open(at('terminal'));
    window.relaydTerminal = terminal; // for tests: what is on the screen
    at('screen-title').textContent = `Terminal of ${message.slot.slice(0, 8)}, read-only`;
    at('notice').textContent = '';
  }
  terminal?.write(decoder.bytes(message.data));
}

function showDropped() {
  at('notice').textContent = 'This page was too slow: some output was left out.';
}

const plain = (value) => value.toFixed(value < 10 ? 2 : 1);
const short = (value) => value >= 1e6 ? `${(value / 1e6).toFixed(1)} M` : value >= 1e4 ? `${Math.round(value / 1e3)} k` : value;
const duration = (value) => value >= 3600 ? `${Math.round(value / 3600)} h` : value >= 60 ? `${Math.round(value / 60)} min` : `${Math.round(value)} s`;

connect();
