import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import type { Redis } from 'ioredis'
import { buildApp, secret } from './helpers/app.ts'
import { skipWithoutRedis, startRedis } from './helpers/redis.ts'
import { StoredLogins } from './helpers/stored-logins.ts'

const FEW = 10
const MANY = 5000
const OWN = [1, 2, 3, 7] // sessions of the person that is asked about

/** What an errand asked of Redis. */
interface Cost {
  /** As often as Redis carried them out, those in scripts too. */
  commands: Record<string, number>
  /** Characters of all answers: a command that looks at everybody's would give more. */
  answered: number
}

t.setTimeout(240_000)

t.test('H10 what is ended or listed is found without looking at others', { skip: skipWithoutRedis }, async t => {
  const { logins, costs } = await build(t)
  await logins.addAll(others(FEW))
  const amongFew = await costs()
  await logins.addAll(others(MANY - FEW))
  const amongMany = await costs()

  for (const [errand, few] of Object.entries(amongFew)) {
    t.test(errand, async t => {
      t.same(amongMany[errand], few, `costs the same among ${MANY} sessions of others as among ${FEW}`)
      for (const { commands } of few) t.notMatch(Object.keys(commands).join(' '), /keys|scan|randomkey/)
      const totals = few.map(({ commands }) => Object.values(commands).reduce((sum, calls) => sum + calls))
      t.comment(`commands for ${OWN.join(', ')} sessions of one's own: ${totals.join(', ')}`)
      const perSession = totals[1]! - totals[0]!
      t.same(totals, OWN.map(sessions => totals[0]! + (sessions - 1) * perSession), 'and grows with one\'s own only')
      if (errand === 'back-channel logout by sid') t.equal(perSession, 0, 'which are not even looked at here')
    })
  }
})

async function build (t: Test) {
  const redis = await startRedis(t)
  const [observer, client] = [redis.client(), redis.client()]
  const answered = countAnswers(client)
  const { app, provider } = await buildApp(t, { auth0: { session: { redis: client } } })
  const { issuer, clientId } = provider
  const logins = new StoredLogins({ client: observer, issuer, clientId, secret })
  t.teardown(() => logins.close())
  const logout = (claims: { sub: string | undefined, sid: string | undefined }) => app.auth0.handleBackchannelLogout(provider.logoutToken({ claims }))

  const errands: Record<string, (sub: string, sids: string[]) => Promise<number>> = {
    'sessions.list': async sub => (await app.auth0.sessions.list(sub)).length,
    'back-channel logout by sid': async (_sub, sids) => await logout({ sub: undefined, sid: sids[0] }) + sids.length - 1,
    'back-channel logout by sub': async sub => logout({ sub, sid: undefined })
  }

  /** Of one errand, for somebody who has so many sessions. */
  async function cost (errand: string, sessions: number): Promise<Cost> {
    const sub = `auth0|${randomUUID()}`
    const sids = Array.from({ length: sessions }, () => randomUUID())
    for (const sid of sids) await logins.add({ iss: issuer, sub, sid })
    await observer.config('RESETSTAT')
    const before = answered()
    t.equal(await errands[errand]!(sub, sids), sessions)
    return { answered: answered() - before, commands: await commandStats(observer) }
  }

  async function costs (): Promise<Record<string, Cost[]>> {
    const found: Record<string, Cost[]> = {}
    for (const errand of Object.keys(errands)) {
      await cost(errand, 1) // sends the scripts
      found[errand] = []
      for (const sessions of OWN) found[errand].push(await cost(errand, sessions))
    }
    return found
  }

  return { logins, costs }
}

function * others (count: number) {
  for (let number = 0; number < count; number++) yield { iss: 'https://tenant.example.com/', sub: `auth0|${randomUUID()}`, sid: randomUUID() }
}

function countAnswers (client: Redis): () => number {
  let characters = 0
  const { call } = client
  client.call = (async (...request: Parameters<typeof call>) => {
    const answer = await call.apply(client, request)
    characters += JSON.stringify(answer).length
    return answer
  }) as typeof call
  return () => characters
}

async function commandStats (redis: Redis): Promise<Record<string, number>> {
  const stats = (await redis.info('commandstats')).matchAll(/cmdstat_(\S+):calls=(\d+)/g)
  return Object.fromEntries([...stats].map(([, name, calls]) => [name as string, Number(calls)]).filter(([name]) => name !== 'config|resetstat'))
}
