import type { CustomFetch } from 'openid-client'
import { UnusableAnswerError } from './failures.ts'

/** A JSON object that the provider publishes for everybody. */
export type PublicDocument = Record<string, unknown>

/** Fetches metadata or keys. Throws what `providerError` makes sense of. */
export async function fetchDocument (fetch: CustomFetch, url: string): Promise<PublicDocument> {
  const response = await fetch(url, { method: 'GET', headers: { accept: 'application/json' }, body: null, redirect: 'manual' })
  if (response.status !== 200) throw new Error('no document', { cause: response })
  const document: unknown = await response.json()
  if (!isObject(document)) throw new UnusableAnswerError('an answer that is no JSON object')
  return document
}

/** Whether JSON is an object: neither an array nor `null`. */
export function isObject (value: unknown): value is PublicDocument {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
