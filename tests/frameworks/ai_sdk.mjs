// @ai-sdk/anthropic: text, a stream, tools in steps, an object, against the daemon in BASE_URL.
import assert from 'node:assert'
import { createAnthropic } from '@ai-sdk/anthropic'
import { generateObject, generateText, stepCountIs, streamText, tool } from 'ai'
import { z } from 'zod'

const anthropic = createAnthropic({ baseURL: process.env.BASE_URL + '/v1', apiKey: 'any' })
const model = anthropic('claude-sonnet-4-6')
const common = { model, maxOutputTokens: 500, maxRetries: 0 }

assert.equal((await generateText({ ...common, prompt: 'hello' })).text, 'echo: hello')
let text = ''
for await (const piece of streamText({ ...common, prompt: '[[paragraphs 3]]' }).textStream) text += piece
assert(text.includes('Paragraph 3'))
const called = []
const get = tool({
  description: 'Gets',
  inputSchema: z.object({ k: z.number() }),
  execute: async ({ k }) => { called.push(k); return 'result' },
})
const steps = { ...common, tools: { get }, stopWhen: stepCountIs(5), prompt: '[[tools 2 get {"k": 1}]] [[final done]]' }
assert.equal((await generateText(steps)).text, 'done')
assert.deepEqual(called, [1, 1])
const schema = z.object({ name: z.string(), age: z.number() })
const { object } = await generateObject({ ...common, schema, prompt: 'Describe Anna who is 30' })
assert.equal(object.age, 30)
console.log('ok')
