-- Forgets a stream.
--
-- KEYS   stream, its room's hash
-- ARGV   channel
-- Answer how many streams the room still has

redis.call('DEL', KEYS[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return redis.call('HLEN', KEYS[2])
