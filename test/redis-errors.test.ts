import t from 'tap'
import { describe, isAway, replyOf } from '../lib/store/redis-errors.ts'

/** An error as ioredis makes it. */
const error = (message: string, members: object = {}) => Object.assign(new Error(message), members)
const reply = (message: string) => error(message, { name: 'ReplyError', command: { name: 'set', args: ['key', 'a secret'] } })

const descriptions: Array<[name: string, error: Error, text: string]> = [
  ['a reply, without the command', reply('OOM command not allowed'), 'OOM command not allowed'],
  ['a reply that quotes arguments', reply("ERR unknown command 'EVALSHA', with args beginning with: 'a secret' "), "ERR unknown command 'EVALSHA'"],
  ['a long reply', reply(`ERR ${'x'.repeat(1000)}`), `ERR ${'x'.repeat(156)}`],
  ['a refused connection', error('connect ECONNREFUSED 127.0.0.1:6379', { code: 'ECONNREFUSED' }), 'connect ECONNREFUSED 127.0.0.1:6379'],
  ['a host with two addresses, both refused', error('', { code: 'ECONNREFUSED' }), 'ECONNREFUSED'],
  ['a Cluster of which no server answers', error('Failed to refresh slots cache.', { lastNodeError: error('timeout') }), 'Failed to refresh slots cache. timeout'],
  ['a call whose connection broke', error('Reached the max retries per request limit (which is 0). Refer to "maxRetriesPerRequest" option for details.'), 'The connection to Redis was lost'],
  ['a call while the connection broke', error("Stream isn't writeable and enableOfflineQueue options is false"), 'The connection to Redis was lost'],
  ['a client that was closed', error('Connection is closed.'), 'The connection to Redis was lost']
]
for (const [name, thrown, text] of descriptions) {
  t.test(`describes ${name}`, async t => {
    const described = describe(thrown)
    t.equal(described.message, text)
    t.same(Object.keys(described), [])
  })
}

const replies: Array<[message: string, isAway: boolean]> = [
  ['LOADING Redis is loading the dataset in memory', true],
  ['MASTERDOWN Link with MASTER is down', true],
  ['CLUSTERDOWN The cluster is down', true],
  ['NOAUTH Authentication required.', true],
  ['BUSY Redis is busy running a script', true],
  ["READONLY You can't write against a read only replica.", false],
  ["OOM command not allowed when used memory > 'maxmemory'.", false],
  ['NOREPLICAS Not enough good replicas to write.', false],
  ['MISCONF Redis is configured to save RDB snapshots', false],
  ['NOPERM this user has no permissions', false],
  ['NOSCRIPT No matching script.', false]
]
for (const [message, expected] of replies) {
  t.test(`${message.split(' ')[0]} means that Redis is ${expected ? 'away' : 'there'}`, async t => {
    t.equal(isAway(replyOf(reply(message))), expected)
  })
}

t.test('what is no reply means that Redis is away', async t => {
  t.equal(isAway(replyOf(error('connect ECONNREFUSED'))), true)
})
