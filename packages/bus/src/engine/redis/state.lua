-- Where a stream stands, opening it if it never was.
--
-- KEYS   stream, its room's hash
-- ARGV   channel, fresh epoch
-- Answer {sequence, epoch, oldest sequence that is kept}

local at = standing(KEYS[2], ARGV[1])
if not at then
  redis.call('HSET', KEYS[2], ARGV[1], '0 ' .. ARGV[2] .. ' 0 0 0 0 0')
  return { '0', ARGV[2], '1' }
end
return { integer(at.sequence), at.epoch, integer(expire(KEYS[1], at, at.sequence, microseconds())) }
