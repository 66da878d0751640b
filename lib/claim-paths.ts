import type { Config } from './options.ts'

/** Where roles and permissions are among the claims of somebody. */
export type ClaimPaths = Readonly<Pick<Config, 'rolesClaim' | 'permissionsClaim'>>

/** Finds them in access tokens, by who issued them. */
export type ClaimPathsOf = (issuer: string) => ClaimPaths

export function createClaimPaths ({ rolesClaim, permissionsClaim, api }: ClaimPaths & Pick<Config, 'api'>): ClaimPathsOf {
  const usual: ClaimPaths = { rolesClaim, permissionsClaim }
  const special = api?.issuers.filter(own => own.rolesClaim !== null || own.permissionsClaim !== null) ?? []
  const byIssuer = new Map(special.map(own => [withoutSlash(own.issuer), { rolesClaim: own.rolesClaim ?? rolesClaim, permissionsClaim: own.permissionsClaim ?? permissionsClaim }]))
  return issuer => byIssuer.get(withoutSlash(issuer)) ?? usual
}

/** Issuers spell themselves with or without a slash behind. */
function withoutSlash (issuer: string): string {
  return issuer.replace(/\/$/, '')
}
