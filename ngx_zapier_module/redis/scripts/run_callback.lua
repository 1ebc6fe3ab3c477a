-- Keeps the result that a callback has brought and tells all nodes of it.
--
-- KEYS  the result, who polls, the name of the callback
-- ARGV  id of the run, ms that the callback may take, result, ms, channel,
--       what to tell
--
-- A callback belongs to one run.
--
-- Returns 1, or 0 if it is another one's

redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2], 'NX')

if redis.call('GET', KEYS[3]) ~= ARGV[1] then
    return 0
end

redis.call('DEL', KEYS[2])

if redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4], 'NX') then
    redis.call('PUBLISH', ARGV[5], ARGV[6])
end

return 1
