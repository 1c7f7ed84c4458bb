-- Sets a key.
--
-- KEYS   as in keys.lua
-- ARGV   1–3 as in keys.lua
--        4 key, 5 `NAMESPACE\nKEY`, 6 tag of the call, 7 value
--        8 time to live (ms; 0: for ever)
--        9 version that the key must have (0: it must not be there; -1: any)
--        10 what it counts for, in bytes
--        11 run id of the server; empty when no write that it answered can be lost, or nobody can tell
--        12 1 when the node knew another run of the server before, else 0
--        13 owner (`=NAME`; empty: nothing is bounded, and the key stays its owner's)
--        14–17 most keys and bytes of the owner, most keys and bytes of all
-- Answer {version, created (0 or 1), when it expires (ms; 0: never)}, {'conflict', version} or {'full', limit}
--
-- A call that finds its own tag was carried out before and its answer lost.

local key, member, tag, value = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local ttl, expected, bytes = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local server, owner = ARGV[11], ARGV[13]

local held = current(KEYS[4], key, member)
if held and held.tag == tag then
  return { held.version, held.created, held.expires }
end
if expected >= 0 and expected ~= (held and tonumber(held.version) or 0) then
  return { 'conflict', held and held.version or 0 }
end

local function usage(field)
  return tonumber(redis.call('HGET', KEYS[1], field) or '0')
end

local function passes(field, more, most)
  return more > 0 and usage(field) + more > tonumber(most)
end

local function passed()
  local keys, more = held and 0 or 1, bytes - (held and held.bytes or 0)
  local ownKeys, ownMore = keys, more
  if not held or held.owner ~= owner then
    ownKeys, ownMore = 1, bytes
  end
  if passes('keys' .. owner, ownKeys, ARGV[14]) then
    return 'owner_keys'
  end
  if passes('bytes' .. owner, ownMore, ARGV[15]) then
    return 'owner_bytes'
  end
  if passes('keys', keys, ARGV[16]) then
    return 'tenant_keys'
  end
  if passes('bytes', more, ARGV[17]) then
    return 'tenant_bytes'
  end
end

if owner == '' then
  owner = held and held.owner or '-'
else
  local limit = passed()
  -- What has expired and was not swept yet still counts: it goes before anything is refused for it.
  while limit and sweep(100) > 0 do
    limit = passed()
  end
  if limit then
    return { 'full', limit }
  end
end

-- Another run of the server may have lost the versions that the last one gave out at its end. No count has come as far
-- as the time in microseconds, so versions go on from there.
if server ~= '' then
  local before = redis.call('HGET', KEYS[1], 'server')
  if before ~= server then
    if before or ARGV[12] == '1' then
      local instant = clock[1] * 1000000 + clock[2]
      redis.call('HSET', KEYS[1], 'version', integer(math.max(usage('version'), instant)))
    end
    redis.call('HSET', KEYS[1], 'server', server)
  end
end

if held then
  charge(held.owner, -1, -held.bytes)
end
charge(owner, 1, bytes)
local version = integer(redis.call('HINCRBY', KEYS[1], 'version', 1))
local created = held and 0 or 1
local expires = ttl > 0 and now + ttl or 0
local header = version .. ' ' .. integer(expires) .. ' ' .. tag .. ' ' .. created .. ' ' .. integer(bytes) .. ' ' .. owner
redis.call('HSET', KEYS[4], key, header .. ' ' .. value)
if expires > 0 then
  redis.call('ZADD', KEYS[2], integer(expires), member)
else
  redis.call('ZREM', KEYS[2], member)
end
tell('set', version, member, value)
return { version, created, expires }
