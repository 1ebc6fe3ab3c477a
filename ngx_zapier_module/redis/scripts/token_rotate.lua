-- Stores a refreshed token if the record still holds the refresh token that
-- was spent for it.  May be repeated.
--
-- KEYS  token, lock
-- ARGV  value of the lock, spent refresh token, access token, refresh token
--       ("" if there is none), expires_at, scope, token type (each "" if not
--       known)
--
-- Returns 1 if the record is ours, 0 if it was written by somebody else.

local function release()
    if redis.call('GET', KEYS[2]) == ARGV[1] then
        redis.call('DEL', KEYS[2])
    end
end

local stored = redis.call('HMGET', KEYS[1], 'refresh_token', 'access_token')

if stored[2] == ARGV[3] then
    release()
    return 1
end

if (stored[1] or '') ~= ARGV[2] then
    release()
    return 0
end

local names = { 'access_token', 'refresh_token', 'expires_at', 'scope',
                'token_type' }

for i, name in ipairs(names) do
    if ARGV[i + 2] ~= '' then
        redis.call('HSET', KEYS[1], name, ARGV[i + 2])
    elseif name == 'expires_at' then
        redis.call('HDEL', KEYS[1], name)
    end
end

redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('HDEL', KEYS[1], 'dead', 'refreshing')

release()

return 1
