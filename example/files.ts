import { readFileSync } from 'node:fs'
import type { FastifyPluginAsync } from 'fastify'

/** Serves the two files beside the pages: how they look, and their icon. */
export const files: FastifyPluginAsync<{ folder: URL }> = async (app, { folder }) => {
  const style = readFileSync(new URL('style.css', folder))
  const icon = readFileSync(new URL('icon.svg', folder))
  app.get('/style.css', async (_request, reply) => reply.type('text/css; charset=utf-8').send(style))
  app.get('/icon.svg', async (_request, reply) => reply.type('image/svg+xml').send(icon))
}
