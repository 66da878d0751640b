import t from 'tap'
import { Gate } from './helpers/gates.ts'
import { skipWithoutRedis, startRedis } from './helpers/redis.ts'
import { buildKept, storeKinds } from './helpers/stores.ts'

t.test('answers that come late, with sessions in a store', { skip: skipWithoutRedis }, async t => {
  const redis = await startRedis(t)
  const ours = storeKinds(redis).filter(({ isVariant, cookieName }) => !isVariant && cookieName === '__Host-auth0')
  for (const kind of ours) {
    for (const how of ['late', 'early']) {
      t.test(`what changes request.session and began before a login leaves the cookie of that login alone: saved ${how}, ${kind.name}`, async t => {
        const gate = new Gate()
        const { browser } = await buildKept(t, kind, {
          routes: app => {
            app.get('/write', async request => {
              request.session.theme = 'dark'
              if (how === 'early') await request.session.save()
              await gate.pass(request)
            })
          }
        })
        await browser.login('/login?returnTo=/me')
        const slow = await gate.hold(headers => browser.get('/write', { headers }))
        await browser.navigate('/login?returnTo=/me')
        const { setCookies, headers } = await slow.release()
        t.same(setCookies, [])
        t.equal(headers['cache-control'], 'private, no-store')
        t.ok((await browser.get('/me')).json().isAuthenticated)
      })
    }

    t.test(`other cookies of the same answer stay: ${kind.name}`, async t => {
      const { browser } = await buildKept(t, kind, {
        routes: app => {
          app.get('/write', async (request, reply) => {
            request.session.theme = 'dark'
            reply.header('set-cookie', 'one=1; Path=/; Secure').header('set-cookie', '__Host-auth0-2=2; Path=/; Secure')
          })
        }
      })
      t.equal((await browser.get('/write')).setCookies.length, 3, 'a session begins')
      t.same((await browser.get('/write')).setCookies.map(header => header.split(';', 1)[0]), ['one=1', '__Host-auth0-2=2'])
    })
  }
})
