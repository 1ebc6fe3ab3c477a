-- Takes the mark of a dead refresh token away, and the pause after a failure,
-- so that it is tried again.
--
-- KEYS  token, lock
--
-- Returns { 0, the fields }, or nil if there is no record

if redis.call('GET', KEYS[2]) == '-' then
    redis.call('DEL', KEYS[2])
end

local kind = redis.call('TYPE', KEYS[1])['ok']

if kind == 'none' then
    return false
end

if kind ~= 'hash' then
    return redis.error_reply('WRONGTYPE not a hash')
end

if redis.call('HDEL', KEYS[1], 'dead') == 1 then
    redis.pcall('HINCRBY', KEYS[1], 'version', 1)
end

return { 0,
         redis.call('HMGET', KEYS[1], 'access_token', 'refresh_token',
                    'expires_at', 'scope', 'token_type', 'version',
                    'dead') }
