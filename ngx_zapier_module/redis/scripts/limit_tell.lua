-- Tells all nodes of a gate, and keeps it for those that start later.
--
-- KEYS  the gates that are closed
-- ARGV  channel, text of the news, scope, kind of the news, ms: until the
--       gate opens or since a probe was sent
--
-- A gate is kept as: when it was last heard of, when it was told, when it
-- opens, kind and text of the news.
--
-- Returns how many heard it.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local channel, text, scope, kind = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local ms = tonumber(ARGV[5])
local value = redis.call('HGET', KEYS[1], scope)
local old = value and { cmsgpack.unpack(value) } or { 0, 0, 0 }

if kind == 'C' or kind == 'c' then
    local new = { now, now, now + ms, kind, text }

    -- a refusal that tells of less time does not make it shorter

    if kind == 'c' and new[3] < old[3] then
        new = { now, old[2], old[3], old[4], old[5] }
    end

    redis.call('HSET', KEYS[1], scope, cmsgpack.pack(unpack(new)))
    redis.call('PEXPIRE', KEYS[1], math.max(new[3] - now, 1000,
                                            redis.call('PTTL', KEYS[1])))

elseif kind ~= 'o' or (old[4] == 'c' and old[1] < now - ms) then
    redis.call('HDEL', KEYS[1], scope)
end

-- now and then, those that have opened by themselves

if now % 64 == 0 then
    local all = redis.call('HGETALL', KEYS[1])

    for i = 1, #all, 2 do
        if ({ cmsgpack.unpack(all[i + 1]) })[3] <= now then
            redis.call('HDEL', KEYS[1], all[i])
        end
    end
end

return redis.call('PUBLISH', channel, text)
