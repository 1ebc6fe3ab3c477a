-- The gates that are closed, for who has not heard of them.
--
-- KEYS  the gates, see limit_tell.lua
-- ARGV  how many at most
--
-- Returns for each: ms since it was told, the text of the news.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local all, answer = redis.call('HGETALL', KEYS[1]), {}

for i = 2, #all, 2 do
    local gate = { cmsgpack.unpack(all[i]) }

    if gate[3] > now and #answer < 2 * ARGV[1] then
        answer[#answer + 1] = math.max(now - gate[2], 0)
        answer[#answer + 1] = gate[5]
    end
end

return answer
