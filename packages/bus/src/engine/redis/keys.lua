-- Stands in front of every script that changes keys of the store.
--
-- The keys of one tenant in one space are kept in
--
--   PREFIXkeys:NAMESPACE  hashes: key → `VERSION EXPIRES TAG CREATED BYTES OWNER VALUE`. EXPIRES is in milliseconds of the
--                         server's clock, 0 for never; TAG names the call that set it, CREATED is 1 when that made the
--                         key. BYTES is what it counts for with OWNER, which is `=NAME`, or `-` for nobody.
--   PREFIXusage           hash: `keys` and `bytes` of all, `keysOWNER` and `bytesOWNER` of each owner, `version`, the last
--                         one given out, and `server`, which process gave it
--   PREFIXexpiries        sorted set: `NAMESPACE\nKEY` by EXPIRES
--   PREFIXlog             stream: the latest changes, without their values
--
-- Names are JSON text without its quotes, so that they hold no line break.
--
-- KEYS   1 usage, 2 expiries, 3 log, 4 keys of the namespace concerned
-- ARGV   1 prefix, 2 topic of changes, 3 `TENANT\nSPACE`

local prefix, topic, place = ARGV[1], ARGV[2], ARGV[3]

-- The server's time in microseconds, asked for when it is needed: most keys have no time to live.
local instant
local function microseconds()
  if not instant then
    local clock = redis.call('TIME')
    instant = clock[1] * 1000000 + clock[2]
  end
  return instant
end

local function now()
  return math.floor(microseconds() / 1000)
end

-- As in streams.lua.
local function runOf(run)
  return run == '?' and string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or run
end

local function integer(number)
  return string.format('%.0f', number)
end

local function tell(operation, version, member, value)
  local change = operation .. ' ' .. version .. '\n' .. place .. '\n' .. member
  local id = redis.call('XADD', KEYS[3], 'MAXLEN', '~', 1000, '*', 'c', change)
  redis.call('PUBLISH', topic, id .. ' ' .. change .. '\n' .. value)
end

-- Gives an owner back what a key counted for.
local function giveBack(owner, bytes)
  if owner == '-' then
    return
  end
  local left = redis.call('HINCRBY', KEYS[1], 'keys' .. owner, -1)
  redis.call('HINCRBY', KEYS[1], 'bytes' .. owner, -bytes)
  if left <= 0 then
    redis.call('HDEL', KEYS[1], 'keys' .. owner, 'bytes' .. owner)
  end
end

-- A key as it is kept, expired or not; nil when there is none.
local function record(entries, field)
  local text = redis.call('HGET', entries, field)
  if not text then
    return nil
  end
  local version, expires, tag, created, bytes, owner =
    string.match(text, '^(%d+) (%d+) (%S+) ([01]) (%d+) (%S+) ')
  return {
    version = version,
    expires = tonumber(expires),
    tag = tag,
    created = tonumber(created),
    bytes = tonumber(bytes),
    owner = owner,
  }
end

local function remove(operation, entries, field, member, held)
  redis.call('HDEL', entries, field)
  redis.call('ZREM', KEYS[2], member)
  redis.call('HINCRBY', KEYS[1], 'keys', -1)
  redis.call('HINCRBY', KEYS[1], 'bytes', -held.bytes)
  giveBack(held.owner, held.bytes)
  tell(operation, held.version, member, '')
end

-- A key as it is now; one that has expired is taken away first.
local function current(entries, field, member)
  local held = record(entries, field)
  if held and held.expires > 0 and held.expires <= now() then
    remove('expire', entries, field, member, held)
    return nil
  end
  return held
end

-- Takes away at most `most` keys that have expired; answers how many there were.
local function sweep(most)
  local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', integer(now()), 'LIMIT', 0, most)
  for _, member in ipairs(due) do
    local namespace, field = string.match(member, '^([^\n]*)\n(.*)$')
    local held = current(prefix .. 'keys:' .. namespace, field, member)
    if held and held.expires > 0 then
      redis.call('ZADD', KEYS[2], integer(held.expires), member)
    else
      redis.call('ZREM', KEYS[2], member)
    end
  end
  return #due
end
