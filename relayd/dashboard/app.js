// The dashboard: one WebSocket in, the page out. Nothing is fetched from anywhere else.
'use strict';
const at = (id) => document.getElementById(id);
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
    ({ status: showStatus, terminal: showTerminal, token: askToken, dropped: showDropped })[message.type](message);
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
  at('calls').replaceChildren(...status.recent.map(callRow));
  showOwn(status.statistics.own);
}

function showNumbers(status) {
  const { tokens, own } = status.statistics;
  const count = own.counts.reduce((a, b) => a + b, 0);
  const numbers = [
    ['running calls', status.pool.running], ['waiting calls', status.pool.queued],
    ['processes', `${status.slots.length} of ${status.pool.max}`], ['answered', status.served],
    ['conversations', status.conversations.kept], ['input tokens', short(tokens.input_tokens)],
    ['from cache', short(tokens.cache_read_input_tokens)], ['into cache', short(tokens.cache_creation_input_tokens)],
    ['output tokens', short(tokens.output_tokens)], ['own work, mean', count ? `${(1000 * own.sum_s / count).toFixed(2)} ms` : '–'],
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

function callRow(call) {
  const row = make('tr');
  const tokens = call.tokens;
  const good = call.status === 200;
  row.append(
    make('td', new Date(1000 * call.at).toLocaleTimeString()), make('td', call.status, good ? 'good' : 'bad'),
    make('td', call.model), make('td', call.road), make('td', seconds(call.queue_s), 'n'), make('td', seconds(call.first_s), 'n'),
    make('td', seconds(call.total_s), 'n'), make('td', tokens.input_tokens ?? '', 'n'), make('td', tokens.cache_read_input_tokens ?? '', 'n'),
    make('td', tokens.output_tokens ?? '', 'n'), make('td', call.error || call.stop_reason),
  );
  return row;
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

function make(kind, text = '', style = '') {
  const made = document.createElement(kind);
  made.textContent = text;
  if (style) made.className = style;
  return made;
}
const seconds = (value) => value ? `${value.toFixed(2)} s` : '';
const short = (value) => value >= 1e6 ? `${(value / 1e6).toFixed(1)} M` : value >= 1e4 ? `${Math.round(value / 1e3)} k` : value;
const duration = (value) => value >= 3600 ? `${Math.round(value / 3600)} h` : value >= 60 ? `${Math.round(value / 60)} min` : `${Math.round(value)} s`;

connect();
