-- Gives the lock back, perhaps with a pause for everybody.
--
-- KEYS  token, lock
-- ARGV  value of the lock, ms to pause (0: none), "keep" if the outcome is
--       not known
--
-- Returns 1, or 0 if the lock was somebody else's by now.

if redis.call('GET', KEYS[2]) ~= ARGV[1] then
    return 0
end

if ARGV[3] ~= 'keep' then
    redis.call('HDEL', KEYS[1], 'refreshing')
end

if ARGV[2] == '0' then
    redis.call('DEL', KEYS[2])
else
    redis.call('SET', KEYS[2], '-', 'PX', ARGV[2])
end

return 1
