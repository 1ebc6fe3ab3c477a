-- A signed token is for one callback only, however often it is sent.
--
-- KEYS  the token's digest
-- ARGV  callback, ms
--
-- Returns 1, or 0 if it was seen with another callback

if redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX')
   or redis.call('GET', KEYS[1]) == ARGV[1]
then
    return 1
end

return 0
