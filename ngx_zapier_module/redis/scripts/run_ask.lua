-- May this node ask the upstream what has become of a run?
--
-- KEYS  the result, who polls
-- ARGV  owner, ms between polls, 1 if a caller wants an answer now, ms that
--       a poll may take
--
-- The second key holds "owner ms" of the last poll, as long as nobody who
-- waits for the end need ask.
--
-- Returns { 2, result }, { 1 } if it may, or { 0, ms to wait }

local result = redis.call('GET', KEYS[1])

if result then
    return { 2, result }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last = redis.call('GET', KEYS[2])

if last then
    local owner, since = string.match(last, '^(%d+) (%d+)$')
    local wait = redis.call('PTTL', KEYS[2])

    if ARGV[3] == '1' then
        wait = math.min(wait, (since or 0) + ARGV[2] - now)

    elseif owner == ARGV[1] then
        wait = 0
    end

    if wait > 0 then
        return { 0, wait }
    end
end

redis.call('SET', KEYS[2], ARGV[1] .. ' ' .. now, 'PX', ARGV[4])

return { 1 }
