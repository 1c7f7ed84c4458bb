-- Counts what a room holds.
--
-- KEYS   the room's hash
-- ARGV   the prefix of its streams' keys
-- Answer {streams, messages, bytes of the server's memory}

local all, streams, messages, bytes = redis.call('HGETALL', KEYS[1]), 0, 0, 0
for i = 1, #all, 2 do
  if string.sub(all[i + 1], 1, 2) ~= '0 ' then
    local stream = ARGV[1] .. all[i]
    streams = streams + 1
    messages = messages + redis.call('XLEN', stream)
    bytes = bytes + (redis.call('MEMORY', 'USAGE', stream) or 0)
  end
end
return { streams, messages, bytes }
