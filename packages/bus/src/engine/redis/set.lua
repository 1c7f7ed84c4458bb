-- Sets a key.
--
-- KEYS   as in keys.lua
-- ARGV   1–3 as in keys.lua
--        4 key, 5 `NAMESPACE\nKEY`, 6 tag of the call, 7 value
--        8 time to live (ms; 0: for ever)
--        9 version that the key must have (0: it must not be there; -1: any)
--        10 what it counts for, in bytes
--        11 run of the server (as in publish.lua)
--        12 1 when the node knew another run of the server before, else 0
--        13 owner (`=NAME`; empty: nothing is bounded, and the key stays its owner's)
--        14–17 most keys and bytes of the owner, most keys and bytes of all
-- Answer {version, created (0 or 1), when it expires (ms; 0: never)}, {'conflict', version} or {'full', limit}
--        18 the version that it gets; 0: the next
--
-- A call that finds its own tag was carried out before and its answer lost.

local key, member, tag, value = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local ttl, expected, bytes = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local server, owner = runOf(ARGV[11]), ARGV[13]

local held = current(KEYS[4], key, member)
if held and held.tag == tag then
  return { held.version, held.created, held.expires }
end
if expected >= 0 and expected ~= (held and tonumber(held.version) or 0) then
  return { 'conflict', held and held.version or 0 }
end

-- What all and the owner hold, as it will be.
local charged = owner ~= '' and owner or held and held.owner or '-'
local sameOwner = held and held.owner == charged
local keys, more = held and 0 or 1, bytes - (held and held.bytes or 0)
local ownKeys, ownMore = sameOwner and keys or 1, sameOwner and more or bytes
local usage
local function look()
  local found = redis.call('HMGET', KEYS[1], 'keys', 'bytes', 'keys' .. charged, 'bytes' .. charged, 'version', 'server')
  usage = { server = found[6], version = tonumber(found[5] or '0') }
  usage.keys, usage.bytes = tonumber(found[1] or '0') + keys, tonumber(found[2] or '0') + more
  usage.ownKeys, usage.ownBytes = tonumber(found[3] or '0') + ownKeys, tonumber(found[4] or '0') + ownMore
end

-- Which bound is passed, if any.
local function passed()
  if ownKeys > 0 and usage.ownKeys > tonumber(ARGV[14]) then
    return 'owner_keys'
  elseif ownMore > 0 and usage.ownBytes > tonumber(ARGV[15]) then
    return 'owner_bytes'
  elseif keys > 0 and usage.keys > tonumber(ARGV[16]) then
    return 'tenant_keys'
  elseif more > 0 and usage.bytes > tonumber(ARGV[17]) then
    return 'tenant_bytes'
  end
end

look()
if owner ~= '' then
  local limit = passed()
  -- What has expired and was not swept yet still counts: it goes before anything is refused for it.
  while limit and sweep(100) > 0 do
    look()
    limit = passed()
  end
  if limit then
    return { 'full', limit }
  end
end

-- Another run of the server may have lost the versions that the last one gave out at its end. No count has come as far
-- as the time in microseconds, so versions go on from there.
local version = usage.version
if server ~= '' and usage.server ~= server then
  if usage.server or ARGV[12] == '1' then
    version = math.max(version, microseconds())
  end
  redis.call('HSET', KEYS[1], 'server', server)
end
local given = tonumber(ARGV[18])
local highest = integer(given > 0 and math.max(given, version) or version + 1)
version = given > 0 and integer(given) or highest

if held and not sameOwner then
  giveBack(held.owner, held.bytes)
end
local all = { 'HSET', KEYS[1], 'version', highest, 'keys', usage.keys, 'bytes', usage.bytes }
if charged ~= '-' then
  all[9], all[10], all[11], all[12] = 'keys' .. charged, usage.ownKeys, 'bytes' .. charged, usage.ownBytes
end
redis.call(unpack(all))
local created = held and 0 or 1
local expires = ttl > 0 and now() + ttl or 0
local header = version .. ' ' .. integer(expires) .. ' ' .. tag .. ' ' .. created .. ' ' .. bytes .. ' ' .. charged
redis.call('HSET', KEYS[4], key, header .. ' ' .. value)
if expires > 0 then
  redis.call('ZADD', KEYS[2], integer(expires), member)
elseif held and held.expires > 0 then
  redis.call('ZREM', KEYS[2], member)
end
tell('set', version, member, value)
return { version, created, expires }
