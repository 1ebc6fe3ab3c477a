-- Writes a record for an operator: what is not given goes, as do marks of
-- what became of the token that was there before.
--
-- KEYS  token, and one that is there if this must be done only once: it says
--       "done" afterwards, as long as it lives
-- ARGV  access token, refresh token, scope, token type, expires_at,
--       expires_in; each "" if it is not to be there, the last, which
--       counts from Redis' now, is the stronger one
--
-- Returns { 1 if there was no record, the fields }

local created = 0

local function answer()
    return { created,
             redis.call('HMGET', KEYS[1], 'access_token', 'refresh_token',
                        'expires_at', 'scope', 'token_type', 'version',
                        'dead') }
end

if KEYS[2] and redis.call('GET', KEYS[2]) == 'done' then
    return answer()
end

if redis.call('TYPE', KEYS[1])['ok'] ~= 'hash' then
    created = 1 - redis.call('DEL', KEYS[1])
end

local expires = ARGV[5]

if ARGV[6] ~= '' then
    expires = string.format('%.0f', redis.call('TIME')[1] + ARGV[6])
end

local fields = { 'access_token', ARGV[1], 'refresh_token', ARGV[2],
                 'scope', ARGV[3], 'token_type', ARGV[4],
                 'expires_at', expires }

for i = 1, #fields, 2 do
    if fields[i + 1] ~= '' then
        redis.call('HSET', KEYS[1], fields[i], fields[i + 1])
    else
        redis.call('HDEL', KEYS[1], fields[i])
    end
end

redis.call('HDEL', KEYS[1], 'dead', 'refreshing')
redis.call('PERSIST', KEYS[1])

-- a version that somebody wrote by hand need not be a number

if type(redis.pcall('HINCRBY', KEYS[1], 'version', 1)) == 'table' then
    redis.call('HSET', KEYS[1], 'version', 1)
end

if KEYS[2] then
    redis.call('SET', KEYS[2], 'done', 'XX', 'KEEPTTL')
end

return answer()
