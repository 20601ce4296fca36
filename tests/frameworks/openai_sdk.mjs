// openai (npm): whole, streamed, tools, against the daemon in BASE_URL.
import assert from 'node:assert'
import OpenAI from 'openai'

const client = new OpenAI({ baseURL: process.env.BASE_URL + '/v1', apiKey: 'any', maxRetries: 0 })
const ask = (content, more = {}) => ({ model: 'claude-sonnet-4-6', messages: [{ role: 'user', content }], ...more })

assert.equal((await client.chat.completions.create(ask('hello'))).choices[0].message.content, 'echo: hello')
let text = ''
for await (const chunk of await client.chat.completions.create(ask('[[paragraphs 3]]', { stream: true }))) text += chunk.choices[0]?.delta?.content ?? ''
assert(text.includes('Paragraph 3'))
const called = []
const get = { type: 'function', function: { name: 'get', parameters: { type: 'object', properties: { k: { type: 'number' } } }, parse: JSON.parse, function: async ({ k }) => { called.push(k); return 'it' } } }
const runner = client.chat.completions.runTools(ask('[[tools 2 get {"k": 1}]] [[final done]]', { tools: [get] }))
assert.equal(await runner.finalContent(), 'done')
assert.deepEqual(called, [1, 1])
const error = await client.chat.completions.create(ask('[[error 429 slow down]]')).then(() => null, (e) => e)
assert.equal(error.status, 429)
// The Responses surface
const model = 'claude-sonnet-4-6'
assert.equal((await client.responses.create({ model, input: 'hello' })).output_text, 'echo: hello')
const tools = [{ type: 'function', name: 'get', strict: false, parameters: { type: 'object', properties: { k: { type: 'number' } } } }]
const stream = client.responses.stream({ model, input: '[[tool get {"k": 1}]] [[final done]]', tools })
const pieces = []
stream.on('response.function_call_arguments.delta', (event) => pieces.push(event.delta))
const first = await stream.finalResponse()
assert.deepEqual(JSON.parse(pieces.join('')), { k: 1 })
const output = { type: 'function_call_output', call_id: first.output.at(-1).call_id, output: 'it' }
assert.equal((await client.responses.create({ model, tools, input: [output], previous_response_id: first.id })).output_text, 'done')
console.log('ok')
