// Reads one streamed message with fetch in a page: [time, characters so far] pairs, in seconds since 1970, the last one at its end.
async ([url, body]) => {
  const answer = await fetch(url + '/v1/messages', { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  const pieces = answer.body.pipeThrough(new TextDecoderStream()).getReader()
  const now = () => (performance.timeOrigin + performance.now()) / 1000
  const found = []
  let [rest, total] = ['', 0]
  for (;;) {
    const { done, value } = await pieces.read()
    if (done) return [...found, [now(), total]]
    const lines = (rest + value).split('\n')
    rest = lines.pop()
    for (const line of lines.filter((each) => each.startsWith('data: '))) {
      const { delta } = JSON.parse(line.slice(6))
      const text = delta?.text || delta?.thinking || delta?.partial_json
      if (text) found.push([now(), (total += text.length)])
    }
  }
}
