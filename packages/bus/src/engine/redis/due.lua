-- Takes the spaces in which a key has expired, so that no other node does for a while.
--
-- KEYS   sorted set: `TENANT\nSPACE` by the earliest expiry in it (ms)
-- ARGV   how many at most, for how long they are left to the caller (ms)
-- Answer the spaces

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now), 'LIMIT', 0, ARGV[1])
for _, space in ipairs(due) do
  redis.call('ZADD', KEYS[1], 'XX', string.format('%.0f', now + ARGV[2]), space)
end
return due
