-- Takes the mark of a dead refresh token away, so that it is tried again.
--
-- KEYS  token
--
-- Returns { 0, the fields }, or nil if there is no record

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
