-- An operator's word on a scope, for all nodes.
--
-- KEYS  the scope
-- ARGV  channel, text of the news, "reset" if its count goes
--
-- Returns how many heard it.

if ARGV[3] == 'reset' then
    redis.call('DEL', KEYS[1])
end

return redis.call('PUBLISH', ARGV[1], ARGV[2])
