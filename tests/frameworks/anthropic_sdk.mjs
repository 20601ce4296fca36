// @anthropic-ai/sdk: tool runner, threads, parse, streams, counts, models, errors, against the daemon in BASE_URL.
import assert from 'node:assert'
import Anthropic from '@anthropic-ai/sdk'
import { betaZodTool } from '@anthropic-ai/sdk/helpers/beta/zod'
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod'
import { z } from 'zod'

const client = new Anthropic({ baseURL: process.env.BASE_URL, apiKey: 'any', maxRetries: 0 })
const ask = (content, more = {}) => ({ model: 'claude-sonnet-4-6', max_tokens: 1024, messages: [{ role: 'user', content }], ...more })

const rounds = 20
const seen = []
const get = betaZodTool({
  name: 'get',
  description: 'Gets',
  inputSchema: z.object({ k: z.number() }),
  run: async ({ k }) => { seen.push(k); return ` result ${seen.length}\t\r\n` },
})
const final = await client.beta.messages.toolRunner(ask(`[[tools ${rounds} get {"k": 7}]] [[final all done]]`, { tools: [get] })).runUntilDone()
assert.equal(final.content[0].text, 'all done')
assert.equal(seen.length, rounds)

const runner = client.beta.messages.toolRunner(ask('[[tools 2 get {"k": 1}]] [[final done]]', { tools: [get], stream: true }))
let last
for await (const stream of runner) last = await stream.finalMessage()
assert.equal(last.content[0].text, 'done')

const City = z.object({ name: z.string(), people: z.number() })
const parsed = await client.messages.parse(ask('Describe Rome with 28', { output_config: { format: zodOutputFormat(City) } }))
assert.deepEqual(parsed.parsed_output, { name: 'Rome', people: 28 })

const stream = client.messages.stream(ask('[[think hm]][[say shown]]', { max_tokens: 4000, thinking: { type: 'enabled', budget_tokens: 2000 } }))
let thought = ''
stream.on('thinking', (piece) => { thought += piece })
const message = await stream.finalMessage()
assert.equal(thought, 'hm')
assert.equal(message.content[0].signature.length > 0, true)
assert.equal(message.content[1].text, 'shown')

const { input_tokens } = await client.messages.countTokens({ model: 'claude-sonnet-4-6', messages: [{ role: 'user', content: 'hi' }] })
assert(input_tokens > 0)
const ids = []
for await (const model of client.models.list({ limit: 4 })) ids.push(model.id)
assert(ids.length > 10)
assert.equal((await client.models.retrieve('claude-haiku-4-5')).id, 'claude-haiku-4-5-20251001')
const { data, response } = await client.messages.create(ask('[[say raw]]')).withResponse()
assert.equal(response.headers.get('request-id'), data._request_id)
for (const [status, name] of [[400, 'BadRequestError'], [404, 'NotFoundError'], [429, 'RateLimitError'], [500, 'InternalServerError']]) {
  for (const how of [{}, { stream: true }]) {
    const error = await client.messages.create(ask(`[[error ${status} as told]]`, how)).then(() => null, (e) => e)
    assert.equal(error.constructor.name, name)
    assert(error.message.includes('as told'))
  }
}

const file = await client.files.upload({ file: new File(['a note'], 'note.txt', { type: 'text/plain' }), expires_in_seconds: 3600 })
assert.deepEqual([file.filename, file.mime_type, file.size_bytes], ['note.txt', 'text/plain', 6])
const paper = { type: 'document', source: { type: 'file', file_id: file.id } }
const { messages } = ask([paper, { type: 'text', text: '[[say read]]' }])
const params = { model: 'claude-sonnet-4-6', max_tokens: 1024, messages }
assert.equal((await client.messages.create(params)).content[0].text, 'read')
let batch = await client.messages.batches.create({ requests: ['a', 'b'].map((custom_id) => ({ custom_id, params })) })
while (batch.processing_status !== 'ended') {
  await new Promise((done) => setTimeout(done, 100))
  batch = await client.messages.batches.retrieve(batch.id)
}
const results = {}
for await (const line of await client.messages.batches.results(batch.id)) results[line.custom_id] = line.result.message.content[0].text
assert.deepEqual(results, { a: 'read', b: 'read' })
assert.equal((await client.messages.batches.delete(batch.id)).type, 'message_batch_deleted')
for await (const each of client.files.list()) await client.files.delete(each.id)
await assert.rejects(client.files.retrieveMetadata(file.id), { status: 404 })
console.log('ok')
