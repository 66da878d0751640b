import { FST_AUTH0_CALLBACK_INVALID } from '../errors.ts'
import { ProviderFailure } from '../provider/failures.ts'
import type { Signer } from '../provider/signer.ts'
import { LATEST_EXPIRY, parseJwt } from '../provider/strict-jwt.ts'
import { isAsymmetric, verifyHeader, verifySigned } from './signed-claims.ts'

/**
 * Verifies an answer to a login that is a JWT: that the provider signed it, for us, and not long ago.
 *
 * @throws {FST_AUTH0_CALLBACK_INVALID} 400; also what the keys throw
 * @see JWT Secured Authorization Response Mode for OAuth 2.0 (JARM) §2.1, §2.4
 */
export async function verifyAuthorizationAnswer (
  jwt: string, { issuer, answerAlgorithms, keys }: Signer, { clientId, clockTolerance }: { clientId: string, clockTolerance: number }
): Promise<void> {
  verifyHeader(parseJwt(jwt, invalid).header, 'jwt', false, invalid) // a token of another type is none, whatever claims it has
  const expected = { algorithms: answerAlgorithms.filter(isAsymmetric), issuer, audience: clientId, clockTolerance }
  const { claims: { aud, exp } } = await verifySigned(jwt, keys, expected, invalid)
  if (Number(exp) > LATEST_EXPIRY) throw invalid('"exp" is no time')
  if ([aud].flat().some(audience => audience !== clientId)) throw invalid('"aud" names another client, too')
}

function invalid (reason: string): Error {
  return new FST_AUTH0_CALLBACK_INVALID({ cause: new ProviderFailure(`authorization answer: ${reason}`) })
}
