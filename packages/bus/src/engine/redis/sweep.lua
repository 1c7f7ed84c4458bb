-- Takes away some of the keys that have expired.
--
-- KEYS   as in keys.lua
-- ARGV   1–3 as in keys.lua, 4 how many at most
-- Answer {keys left, when the next one expires (ms; 0: none does), 1 when that is now, else 0}

sweep(tonumber(ARGV[4]))
local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
local next = tonumber(first[2] or '0')
return { tonumber(redis.call('HGET', KEYS[1], 'keys') or '0'), next, first[2] and next <= now() and 1 or 0 }
