import { BIRTH, SUSPECTS, TOMBSTONE } from './records.ts'
import { defineScript, type Script } from './redis-link.ts'

// A session is a hash: `l` the sealed login, `v` its version, `u` when it was used, `i` its idle time-out, `a` when it ends at the latest, `x` its
// places in indexes, `d:…` the application's fields. An ended one has `t` and nothing else, for a while. Each script touches one hash slot.
// Numbers that are stored are passed to Redis as numbers: it writes all digits, where Lua's own conversion keeps fourteen.

const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`

/** What is of another type than ours counts as absent. */
const CLEAR = `
local function clear (key, kind)
  local found = redis.call('TYPE', key).ok
  if found ~= kind and found ~= 'none' then redis.call('DEL', key) end
end
`

/** Idle time-out and end of a session that is there; and a use of it, which sets the time to live by both. */
const SESSION = `${NOW}${CLEAR}
clear(KEYS[1], 'hash')
local known = redis.call('HMGET', KEYS[1], 'i', 'a')
local idle, ends = tonumber(known[1]), tonumber(known[2])
local function use ()
  redis.call('HSET', KEYS[1], 'u', now)
  redis.call('PEXPIRE', KEYS[1], math.floor(math.min(idle, ends - now)))
end
`

/** KEYS session; ARGV idle time-out, absolute time-out, not after, login, places, fields… */
export const CREATE: Script = defineScript(`${SESSION}
if redis.call('HEXISTS', KEYS[1], 't') == 1 or redis.call('HEXISTS', KEYS[1], 'l') == 1 then return 0 end
if ARGV[3] ~= '' and now > tonumber(ARGV[3]) then return 0 end
if ARGV[4] ~= '' or not (idle and ends) then idle, ends = tonumber(ARGV[1]), now + ARGV[2] end
redis.call('HSET', KEYS[1], 'v', 1, 'i', idle, 'a', ends)
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'l', ARGV[4], 'x', ARGV[5]) end
for field = 6, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[field], ARGV[field + 1]) end
use()
return 1
`)

/** KEYS session; ARGV how many fields change, those with their values, those to remove */
export const COMMIT: Script = defineScript(`${SESSION}
if not (idle and ends) then return 0 end
local changed = 1 + 2 * ARGV[1]
for field = 2, changed, 2 do redis.call('HSET', KEYS[1], ARGV[field], ARGV[field + 1]) end
for field = changed + 1, #ARGV do redis.call('HDEL', KEYS[1], ARGV[field]) end
use()
return 1
`)

/** KEYS session; ARGV version that is replaced, login */
export const REPLACE_LOGIN: Script = defineScript(`${SESSION}
local version = redis.call('HMGET', KEYS[1], 'v', 'l')
if not (idle and ends and version[2]) then return 'absent' end
if version[1] ~= ARGV[1] then return 'changed' end
redis.call('HSET', KEYS[1], 'v', ARGV[1] + 1, 'l', ARGV[2])
use()
return 'replaced'
`)

/** KEYS session. Gives its places, or nothing when it was not there. */
export const END: Script = defineScript(`${CLEAR}
clear(KEYS[1], 'hash')
local found = redis.call('HMGET', KEYS[1], 'a', 'x')
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 't', 1)
redis.call('PEXPIRE', KEYS[1], ${TOMBSTONE})
return found[1] and (found[2] or '')
`)

// An index is a sorted set of `<when it was entered>.<session>` by when that session may be over. Beside it, in the same slot, stands the not-before
// time. It outlives the sessions that are in it: each ends at the latest its absolute time-out after it was created, which was within BIRTH.

/** KEYS index, not-before; ARGV session, issued at, idle time-out, absolute time-out, limit, whether it refuses beyond */
export const ENTER: Script = defineScript(`${NOW}${CLEAR}
clear(KEYS[1], 'zset')
clear(KEYS[2], 'string')
local closed = tonumber(redis.call('GET', KEYS[2]))
if closed and not (tonumber(ARGV[2]) >= closed) then return { 'ended' } end
local limit = tonumber(ARGV[5])
local surplus = {}
if limit > 0 then
  local members = redis.call('ZRANGE', KEYS[1], 0, -1)
  if ARGV[6] == '1' and #members >= limit then return { 'full' } end
  table.sort(members)
  for member = 1, #members + 1 - limit do surplus[member] = members[member] end
end
local suspects = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ${SUSPECTS})
local entry = string.format('%015.0f', now) .. '.' .. ARGV[1]
redis.call('ZADD', KEYS[1], now + math.max(ARGV[3], ${TOMBSTONE}), entry)
redis.call('PEXPIRE', KEYS[1], math.max(redis.call('PTTL', KEYS[1]), ARGV[4] + ${TOMBSTONE}))
return { 'entered', entry, now + ${BIRTH}, surplus, suspects }
`)

/** The highest number that a key was given, for the longest time that it was given one. */
const RAISE = `${CLEAR}
local function raise (key, number, lifetime)
  clear(key, 'string')
  local highest = math.max(tonumber(redis.call('GET', key)) or number, number)
  redis.call('SET', key, highest, 'PX', math.max(redis.call('PTTL', key), lifetime))
end
`

/** KEYS index, not-before; ARGV issued at, lifetime */
export const CLOSE: Script = defineScript(`${RAISE}
clear(KEYS[1], 'zset')
raise(KEYS[2], ARGV[1], ARGV[2])
return redis.call('ZRANGE', KEYS[1], 0, -1)
`)

/** KEYS index; ARGV for each entry itself and when its session may be over, 0 when it is. One that was just made may not be there yet. */
export const REFILE: Script = defineScript(`${NOW}${CLEAR}
clear(KEYS[1], 'zset')
for entry = 1, #ARGV, 2 do
  local enteredAt = tonumber(string.sub(ARGV[entry], 1, 15)) or 0
  if ARGV[entry + 1] ~= '0' then redis.call('ZADD', KEYS[1], 'XX', ARGV[entry + 1], ARGV[entry])
  elseif now - enteredAt > ${TOMBSTONE} then redis.call('ZREM', KEYS[1], ARGV[entry]) end
end
`)

/** KEYS lease; ARGV owner, lifetime */
export const LEASE: Script = defineScript(`${CLEAR}
clear(KEYS[1], 'string')
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`)

/** KEYS lease; ARGV owner */
export const RELEASE: Script = defineScript(`${CLEAR}
clear(KEYS[1], 'string')
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
`)

/** KEYS mark; ARGV value, or nothing for now, lifetime. Gives what time it is, in milliseconds. */
export const MARK: Script = defineScript(`${NOW}${RAISE}
raise(KEYS[1], ARGV[1] == '' and now or ARGV[1], ARGV[2])
return now
`)
