-- Reads keys of one namespace as they are now, by the server's clock.
--
-- KEYS   keys of the namespace, as in keys.lua
-- ARGV   the keys
-- Answer for each its text, nothing where there is none or it has expired

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local texts = redis.call('HMGET', KEYS[1], unpack(ARGV))
for i, text in ipairs(texts) do
  local expires = text and tonumber(string.match(text, '^%d+ (%d+)'))
  if expires and expires > 0 and expires <= now then
    texts[i] = false
  end
end
return texts
