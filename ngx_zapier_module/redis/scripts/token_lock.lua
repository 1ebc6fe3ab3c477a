-- Takes the lock under which a tenant's token is refreshed, if the token is
-- to be refreshed at all, and tells what the record holds.  Redis' clock
-- decides, so that nodes whose clocks differ agree.
--
-- KEYS  token, lock
-- ARGV  owner, ms to hold the lock, s before expiry when a refresh is due
--       (-1: it is due in any case), "mint" if no refresh token is needed
--
-- The lock's value is OWNER:FENCE, FENCE being the version that the record
-- will have when its holder has written it.
--
-- Returns { code, number, now in ms, fence, the fields }, code and number
-- being
--
--   0  somebody else holds it, for number ms
--   1  granted; number of attempts with this refresh token, this included,
--      whose outcome nobody has told
--   2  not due
--   3  no refresh token, or a dead one
--   4  nobody is to try for number ms

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local fields = redis.call('HMGET', KEYS[1], 'access_token', 'refresh_token',
                          'expires_at', 'scope', 'token_type', 'dead',
                          'refreshing', 'version')

local fence = (tonumber(fields[8] or '') or 0) + 1

local function answer(code, number)
    return { code, number, now, fence, fields[1], fields[2], fields[3],
             fields[4], fields[5], fields[6] }
end

local function sha(text)
    return redis.sha1hex(text or '')
end

if ARGV[3] ~= '-1' and (fields[1] or '') ~= '' then
    local expires = tonumber(fields[3] or '')

    if not expires or expires * 1000 > now + ARGV[3] * 1000 then
        return answer(2, 0)
    end
end

if ARGV[4] ~= 'mint' then
    if (fields[2] or '') == '' or fields[6] == sha(fields[2]) then
        return answer(3, 0)
    end
end

local holder = redis.call('GET', KEYS[2])

if holder and string.sub(holder, 1, #ARGV[1] + 1) ~= ARGV[1] .. ':' then
    return answer(holder == '-' and 4 or 0,
                  redis.call('PTTL', KEYS[2]))
end

redis.call('SET', KEYS[2], ARGV[1] .. ':' .. fence, 'PX', ARGV[2])

if ARGV[4] == 'mint' then
    return answer(1, 1)
end

-- kept until the outcome is known, also when who asks dies

local attempts, of = string.match(fields[7] or '', '^(%d+):(%x+)$')

attempts = of == sha(fields[2]) and tonumber(attempts) + 1 or 1

redis.call('HSET', KEYS[1], 'refreshing', attempts .. ':' .. sha(fields[2]))

return answer(1, attempts)
