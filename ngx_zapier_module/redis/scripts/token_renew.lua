-- Keeps a lock that is still its owner's.
--
-- KEYS  lock
-- ARGV  value of the lock, ms to hold it

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end

return redis.call('PEXPIRE', KEYS[1], ARGV[2])
