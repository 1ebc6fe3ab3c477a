-- A run was started that will be called back about.
--
-- KEYS  the result, the name of the callback
-- ARGV  id of the run, ms that the callback may take, ms until it is polled
--
-- The callback may have come already.
--
-- Returns { 2, result } or { 0, ms until it is polled }

redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2], 'NX')

local result = redis.call('GET', KEYS[1])

if result then
    return { 2, result }
end

return { 0, tonumber(ARGV[3]) }
