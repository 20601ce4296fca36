// "Try it": one call of the daemon's own API, streamed as any client would see it.
'use strict';
let running = null;

function headers() {
  const token = sessionStorage.getItem('token');
  return token ? { 'x-api-key': token } : {};
}

async function loadModels() {
  if (at('model').options.length) return;
  const answer = await fetch('/v1/models?limit=1000', { headers: headers() });
  if (!answer.ok) return;
  const { data } = await answer.json();
  at('model').replaceChildren(...data.map((model) => new Option(model.display_name || model.id, model.id)));
  const usual = data.find((model) => model.id.includes('sonnet'));
  if (usual) at('model').value = usual.id;
}

at('try').onsubmit = async (event) => {
  event.preventDefault();
  if (running) return;
  running = new AbortController();
  at('stop').hidden = false;
  at('ask').disabled = true;
  at('answer').hidden = false;
  at('answer').textContent = '';
  at('answer-state').textContent = 'asked';
  const begun = performance.now();
  try {
    at('answer-state').textContent = await stream(begun);
  } catch (error) {
    at('answer-state').textContent = error.name === 'AbortError' ? 'stopped' : `it failed: ${error.message}`;
  }
  running = null;
  at('stop').hidden = true;
  at('ask').disabled = false;
};
at('stop').onclick = () => running?.abort();

async function stream(begun) {
  const body = { model: at('model').value, max_tokens: 1024, stream: true, messages: [{ role: 'user', content: at('prompt').value }] };
  const answer = await fetch('/v1/messages', {
    method: 'POST', headers: { 'content-type': 'application/json', ...headers() }, body: JSON.stringify(body), signal: running.signal,
  });
  if (!answer.ok) {
    const found = await answer.json();
    throw new Error(`${answer.status}: ${found.error.message}`);
  }
  let first = 0;
  let usage = {};
  for await (const event of events(answer.body)) {
    if (event.type === 'error') throw new Error(event.error.message);
    if (event.type === 'message_delta') usage = event.usage;
    if (event.delta?.type === 'text_delta') {
      first ||= performance.now();
      at('answer').append(event.delta.text);
    }
  }
  const span = (end) => `${((end - begun) / 1000).toFixed(2)} s`;
  return `first text after ${span(first || performance.now())}, end after ${span(performance.now())}, ${usage.output_tokens ?? '?'} tokens`;
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const pieces = (rest + value).split('\n\n');
    rest = pieces.pop();
    for (const piece of pieces) {
      const line = piece.split('\n').find((each) => each.startsWith('data: '));
      if (line) yield JSON.parse(line.slice(6));
    }
  }
}
