-- Gives a stream whose end was lost a new epoch, so that no sequence means two events. It keeps what history it has and
-- its incarnation, the part of an epoch before `-`, by which ids are remembered. Does nothing when another node was
-- first.
--
-- KEYS   the room's hash
-- ARGV   channel, the epoch that is no longer true, the rest of the new one
-- Answer {sequence, epoch}, or nothing when there is no such stream

local text = redis.call('HGET', KEYS[1], ARGV[1])
if not text then
  return {}
end
local sequence, epoch, rest = string.match(text, '^(%d+) (%S+) (.*)$')
if epoch == ARGV[2] then
  epoch = string.match(epoch, '^[^-]+') .. '-' .. ARGV[3]
  redis.call('HSET', KEYS[1], ARGV[1], sequence .. ' ' .. epoch .. ' ' .. rest)
end
return { sequence, epoch }
