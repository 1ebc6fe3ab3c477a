-- Keeps a lock that is still its owner's, or that Redis has lost: a replica
-- that has become the master need not have got it.
--
-- KEYS  lock
-- ARGV  value of the lock, ms to hold it

local holder = redis.call('GET', KEYS[1])

if holder and holder ~= ARGV[1] then
    return 0
end

redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])

return 1
