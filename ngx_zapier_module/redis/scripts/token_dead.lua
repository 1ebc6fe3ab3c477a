-- Marks a refresh token as dead for everybody.  The mark holds as long as
-- the record holds this very refresh token.
--
-- KEYS  token, lock
-- ARGV  value of the lock, the refresh token
--
-- Returns 1, or 0 if the record holds another one by now.

local same = redis.call('HGET', KEYS[1], 'refresh_token') == ARGV[2]

if same then
    redis.call('HSET', KEYS[1], 'dead', redis.sha1hex(ARGV[2]))
    redis.call('HDEL', KEYS[1], 'refreshing')
end

if redis.call('GET', KEYS[2]) == ARGV[1] then
    redis.call('DEL', KEYS[2])
end

return same and 1 or 0
