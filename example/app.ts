import Fastify from 'fastify'
import auth0 from 'fastify-auth0'

const app = Fastify({ logger: true })

// Reads AUTH0_DOMAIN, AUTH0_CLIENT_ID, AUTH0_CLIENT_SECRET, AUTH0_SECRET and APP_BASE_URL
await app.register(auth0)

app.get('/', async request => request.auth0.user ? `Hello ${request.auth0.user.name}` : 'Hello stranger')
app.get('/profile', { preHandler: app.requireAuth() }, async request => request.auth0.user)

await app.listen({ port: 3000 })
