-- Marks a key as done for a while, by the server's clock.
--
-- KEYS   the mark
-- ARGV   window (ms), who asks
-- Answer 1 when it was not marked, or by the same asker, whose answer was lost; else 0

if redis.call('SET', KEYS[1], ARGV[2], 'NX', 'PX', ARGV[1]) then
  return 1
end
return redis.call('GET', KEYS[1]) == ARGV[2] and 1 or 0
