// Reads one streamed message with the npm SDK: the request's body on stdin, [time, characters so far] pairs on stdout,
// the last one at the stream's end.
import { readFileSync } from 'node:fs'
import Anthropic from '@anthropic-ai/sdk'

const client = new Anthropic({ baseURL: process.env.BASE_URL, apiKey: 'any', maxRetries: 0 })
const now = () => Number(process.hrtime.bigint()) / 1e9
const found = []
let total = 0
for await (const event of await client.messages.create(JSON.parse(readFileSync(0)))) {
  if (event.type !== 'content_block_delta') continue
  total += (event.delta.text || event.delta.thinking || event.delta.partial_json || '').length
  found.push([now(), total])
}
found.push([now(), total])
console.log(JSON.stringify(found))
