-- Keeps the result of a run and tells all nodes of it.
--
-- KEYS  the result, who polls
-- ARGV  result, ms, channel, what to tell
--
-- Returns 1, or 0 if it was known already

redis.call('DEL', KEYS[2])

if not redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX') then
    return 0
end

redis.call('PUBLISH', ARGV[3], ARGV[4])

return 1
