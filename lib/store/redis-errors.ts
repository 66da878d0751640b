/** With these replies Redis refuses whatever is asked, until that is over: as good as away, also in the log. */
const REFUSALS = new Set(['BUSY', 'CLUSTERDOWN', 'LOADING', 'MASTERDOWN', 'NOAUTH'])

/** What ioredis says of a call whose connection is lost, each in terms of an option. */
const LOST = /max retries per request|isn't writeable|^Connection is closed/

/** The first word of an error that Redis replies with; `null` when an error is no reply. */
export function replyOf (error: Error): string | null {
  return error.name === 'ReplyError' ? error.message.split(' ', 1)[0] as string : null
}

/** Whether this reply, or none, says that there is no use in asking. */
export function isAway (reply: string | null): boolean {
  return reply === null || REFUSALS.has(reply)
}

/** What went wrong, for the log. Without what ioredis attaches to errors and Redis quotes in them: the arguments, which are secrets. */
export function describe (error: Error & { code?: string, lastNodeError?: Error }): Error {
  if (LOST.test(error.message)) return new Error('The connection to Redis was lost')
  const text = (error.message || String(error.code)).replace(/, with args.*$/s, '')
  const node = error.lastNodeError === undefined ? '' : ` ${error.lastNodeError.message}`
  return new Error(`${text}${node}`.slice(0, 160))
}
