-- Reads a range of a stream, without what has grown too old.
--
-- KEYS   stream, its room's hash
-- ARGV   channel, from, to (inclusive, as XRANGE takes them), count, `first` or `last`
-- Answer {epoch, {id, body, id, body, …}}, in the order asked for

local at = standing(KEYS[2], ARGV[1])
if not at then
  return { '', {} }
end
expire(KEYS[1], at, at.sequence, microseconds())
local entries
if ARGV[5] == 'last' then
  entries = redis.call('XREVRANGE', KEYS[1], ARGV[3], ARGV[2], 'COUNT', ARGV[4])
else
  entries = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[3], 'COUNT', ARGV[4])
end
local flat = {}
for i, entry in ipairs(entries) do
  flat[2 * i - 1] = entry[1]
  flat[2 * i] = entry[2][2]
end
return { at.epoch, flat }
