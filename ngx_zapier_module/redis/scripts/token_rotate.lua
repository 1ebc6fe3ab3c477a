-- Stores a refreshed token if the record still holds the refresh token that
-- was spent for it, or an earlier one.  May be repeated.
--
-- KEYS  token, lock
-- ARGV  value of the lock ("" if it is not held), SHA1 digests of the spent
--       refresh tokens, access token, refresh token ("" if there is none),
--       expires_at, scope, token type (each "" if not known), version,
--       "older" if only a record of a lower version is replaced
--
-- Returns 1 if it was written, 2 if it is there already, 0 if the record was
-- written by somebody else.

local function done(code)
    if redis.call('GET', KEYS[2]) == ARGV[1] then
        redis.call('DEL', KEYS[2])
    end

    return code
end

local stored = redis.call('HMGET', KEYS[1], 'refresh_token', 'access_token',
                          'version')

local again = stored[1] or ''
local version = tonumber(stored[3] or '') or 0

if stored[2] == ARGV[3] then
    return done(2)
end

if not string.find(ARGV[2], redis.sha1hex(again), 1, true) then
    return done(0)
end

-- a refresh token that serves again and again tells nothing, nor one that
-- somebody has put back

if (again == ARGV[4] or ARGV[9] == 'older') and version >= tonumber(ARGV[8]) then
    return done(0)
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

redis.call('HSET', KEYS[1], 'version',
           string.format('%.0f', math.max(version + 1, tonumber(ARGV[8]))))
redis.call('HDEL', KEYS[1], 'dead', 'refreshing')

return done(1)
