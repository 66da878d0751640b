import { OAuthError, random, type Grant } from './authorizations.ts'

/** The refresh tokens that came of one login, each in exchange for one before it. */
interface Family {
  grant: Grant
  isRevoked: boolean
  /** Tokens that were exchanged, in the order of their first exchange, and its time in milliseconds since the epoch. */
  spent: Map<string, number>
}

/**
 * Refresh tokens that the provider gave out, and what it knows of them. Who uses a spent one may be a thief, or the one that was
 * robbed: then the family is revoked (RFC 9700 §4.14.2).
 */
export class RefreshTokens {
  /** How often a spent token was used, which revoked its family. */
  reuses = 0
  #families = new Map<string, Family>()

  /** The first token of a family. */
  issue (grant: Grant): string {
    return this.#add({ grant, isRevoked: false, spent: new Map() })
  }

  /** The next token of the family, in exchange for this one. */
  rotate (token: string): string {
    const family = this.#families.get(token)!
    if (!family.spent.has(token)) family.spent.set(token, Date.now())
    return this.#add(family)
  }

  /** What a good token stands for. A spent one is good within the leeway (milliseconds), if none was spent after it. */
  redeem (token: string, leeway: number): Grant {
    const family = this.#families.get(token)
    if (family === undefined || family.isRevoked) throw refusal()
    if (isReuse(family, token, leeway)) {
      family.isRevoked = true
      this.reuses++
      throw refusal()
    }
    return family.grant
  }

  /** Revokes the family of a token, if there is one. */
  revoke (token: string): void {
    const family = this.#families.get(token)
    if (family !== undefined) family.isRevoked = true
  }

  revokeAll (): void {
    for (const family of this.#families.values()) family.isRevoked = true
  }

  /** Whether the token's family was revoked. Throws if the token was never given out, which is a mistake of the test. */
  isRevoked (token: string): boolean {
    const family = this.#families.get(token)
    if (family === undefined) throw new Error('not a refresh token of this provider')
    return family.isRevoked
  }

  #add (family: Family): string {
    const token = random('refresh-token')
    this.#families.set(token, family)
    return token
  }
}

function isReuse ({ spent }: Family, token: string, leeway: number): boolean {
  const spentAt = spent.get(token)
  if (spentAt === undefined) return false
  const wasSpentLast = [...spent.keys()].at(-1) === token
  return !wasSpentLast || Date.now() - spentAt >= leeway
}

/** Auth0's words, the same for every reason. */
const refusal = () => new OAuthError('invalid_grant', 'Unknown or invalid refresh token.', 403)
