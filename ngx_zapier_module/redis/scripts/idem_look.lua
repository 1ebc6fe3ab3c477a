-- What is known of a call that was made with an idempotency key?
--
-- KEYS  the record
-- ARGV  fingerprint of the call, 1 if it is about to be sent and the record
--       to be written, owner, ms that it may take, ms that the record lives
--
-- Returns { 1 } if there is no record, { 2 } if it is of another call, { 3 }
-- if the call is under way, { 4, status, type, body } of its answer, or
-- { 5 } if nobody knows what has become of it

local f = redis.call('HMGET', KEYS[1], 'call', 'state', 'until', 'status',
                     'type', 'body')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if not f[1] then
    if ARGV[2] == '1' then
        redis.call('HSET', KEYS[1], 'call', ARGV[1], 'state', 'sent',
                   'owner', ARGV[3], 'until', now + ARGV[4])
        redis.call('PEXPIRE', KEYS[1], ARGV[5])
    end

    return { 1 }
end

if f[1] ~= ARGV[1] then
    return { 2 }
end

if f[2] ~= 'unknown' and tonumber(f[3] or 0) > now then
    return { 3 }
end

if f[2] == 'answer' then
    return { 4, tonumber(f[4]), f[5] or '', f[6] or '' }
end

return { 5 }
