-- Forgets those streams of a room that have rested, a few at a time.
--
-- KEYS   the room's hash
-- ARGV   1 the prefix of its streams' keys, 2 where the last step ended (0: at the beginning), 3 about how many to look at
-- Answer {where this step ended (0: at the end), how many streams the room still has}

local now = math.floor(microseconds() / 1000)
local step = redis.call('HSCAN', KEYS[1], ARGV[2], 'COUNT', ARGV[3])
for i = 1, #step[2], 2 do
  local at = standing(KEYS[1], step[2][i])
  if at.till == 0 then
    -- An earlier release wrote it: from now on it is as old as it can be.
    at.till = now + at.ttl + REST
    note(at)
  elseif at.till <= now then
    redis.call('DEL', ARGV[1] .. at.channel)
    redis.call('HDEL', KEYS[1], at.channel)
  end
end
return { step[1], redis.call('HLEN', KEYS[1]) }
