-- Takes a node out unless it lives.
--
-- KEYS   the hash of nodes
-- ARGV   node, milliseconds after which it counts as dead
-- Answer 1 when it was taken out, else 0

local clock = redis.call('TIME')
local text = redis.call('HGET', KEYS[1], ARGV[1])
if not text then
  return 0
end
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if now - tonumber(string.match(text, '^%d+')) < tonumber(ARGV[2]) then
  return 0
end
return redis.call('HDEL', KEYS[1], ARGV[1])
