-- What has become of a call that was made with an idempotency key.
--
-- KEYS  the record
-- ARGV  owner, "free": nothing was done; "unknown"; "idle": who waits has
--       his answer; "answer"; then, for an answer, ms that somebody goes on
--       to wait for what comes of it, status, type, body
--
-- Returns 1, or 0 if the record is another's

local owner = redis.call('HGET', KEYS[1], 'owner')

if owner ~= ARGV[1] then
    return (not owner and ARGV[2] == 'free') and 1 or 0
end

if ARGV[2] == 'free' then
    redis.call('DEL', KEYS[1])
    return 1
end

if ARGV[2] == 'idle' then
    redis.call('HSET', KEYS[1], 'until', 0)
    return 1
end

if ARGV[2] == 'unknown' then
    redis.call('HSET', KEYS[1], 'state', 'unknown')
    return 1
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

redis.call('HSET', KEYS[1], 'state', 'answer', 'until', now + ARGV[3],
           'status', ARGV[4], 'type', ARGV[5], 'body', ARGV[6])

return 1
