import { type Script, script } from './scripts.ts';

/*
 * The keys of one tenant in one space: `PREFIXentries:NAMESPACE` are hashes of key → `VERSION EXPIRES TAG VALUE`
 * (EXPIRES 0: never), `PREFIXcount` counts the keys of all namespaces, `PREFIXexpiries` orders `NAMESPACE\nKEY` by
 * expiry, and `PREFIXlog` remembers the latest changes without their values. Names are JSON text without its quotes,
 * so they hold no line break.
 *
 * KEYS: count, expiries, log, entries (of the namespace concerned). ARGV: now (ms), prefix, topic, `TENANT\nSPACE`.
 */
const COMMON = `
local now, prefix, topic, place = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]

local function tell(operation, version, member, value)
  local change = operation .. ' ' .. version .. '\\n' .. place .. '\\n' .. member
  local id = redis.call('XADD', KEYS[3], 'MAXLEN', '~', 1000, '*', 'c', change)
  redis.call('PUBLISH', topic, id .. ' ' .. change .. '\\n' .. value)
end

local function held(entries, field)
  local text = redis.call('HGET', entries, field)
  if not text then return nil end
  local version, expires, tag = string.match(text, '^(%d+) (%d+) (%S+) ')
  return tonumber(version), expires, tag
end

local function remove(operation, entries, field, member, version)
  redis.call('HDEL', entries, field)
  redis.call('ZREM', KEYS[2], member)
  redis.call('DECR', KEYS[1])
  tell(operation, version, member, '')
end

local function sweep()
  while true do
    local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1], 'LIMIT', 0, 100)
    for _, member in ipairs(due) do
      local namespace, field = string.match(member, '^([^\\n]*)\\n(.*)$')
      local entries = prefix .. 'entries:' .. namespace
      local version = held(entries, field)
      if version then remove('expire', entries, field, member, version)
      else redis.call('ZREM', KEYS[2], member) end
    end
    if #due == 0 then return end
  end
end
`;

/**
 * Arguments 5–10: field, `NAMESPACE\nKEY`, tag of the call, value, expiry (0: never), version that is expected (-1:
 * any), most keys (-1: any). Answers `{version, created}`, `{'conflict', version}` or `{'full'}`. A call that finds its
 * own tag was carried out before and its answer lost.
 */
export const SET: Script = script(
  'set',
  `${COMMON}
local field, member, tag, value, expires = ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local expected, most = tonumber(ARGV[10]), tonumber(ARGV[11])
sweep()
local version, _, owner = held(KEYS[4], field)
if owner == tag then return { version, version == 1 and 1 or 0 } end
if expected >= 0 and expected ~= (version or 0) then return { 'conflict', version or 0 } end
if not version then
  if most >= 0 and tonumber(redis.call('GET', KEYS[1]) or '0') >= most then return { 'full' } end
  redis.call('INCR', KEYS[1])
end
local created = version and 0 or 1
version = (version or 0) + 1
redis.call('HSET', KEYS[4], field, version .. ' ' .. expires .. ' ' .. tag .. ' ' .. value)
if expires == '0' then redis.call('ZREM', KEYS[2], member)
else redis.call('ZADD', KEYS[2], expires, member) end
tell('set', version, member, value)
return { version, created }
`,
);

/** Arguments 5–7: field, `NAMESPACE\nKEY`, version that is expected (-1: any). Answers `{deleted}` or `{'conflict', version}`. */
export const DELETE: Script = script(
  'delete',
  `${COMMON}
local field, member, expected = ARGV[5], ARGV[6], tonumber(ARGV[7])
sweep()
local version = held(KEYS[4], field)
if expected >= 0 and expected ~= (version or 0) then return { 'conflict', version or 0 } end
if not version then return { 0 } end
remove('delete', KEYS[4], field, member, version)
return { 1 }
`,
);

/** Expires what is due. Answers `{keys left, next expiry (0: none)}`. */
export const SWEEP: Script = script(
  'sweep',
  `${COMMON}
sweep()
local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
return { tonumber(redis.call('GET', KEYS[1]) or '0'), tonumber(first[2] or '0') }
`,
);

export const STORE_SCRIPTS: readonly Script[] = [SET, DELETE, SWEEP];
