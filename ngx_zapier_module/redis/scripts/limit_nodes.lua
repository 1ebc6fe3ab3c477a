-- Who has what of a scope.
--
-- KEYS  the scope
-- ARGV  window in ms, ms of slack
--
-- Returns for each node: its name, units in the window, units of those that
-- are on lease.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local text = redis.call('GET', KEYS[1])
local list = text and cmsgpack.unpack(text) or {}
local used, leased, names, answer = {}, {}, {}, {}

for i = 1, #list, 3 do
    local stamp, units, node = list[i], list[i + 1], list[i + 2]

    if stamp + ARGV[1] > now and units > 0 then

        if not used[node] then
            names[#names + 1] = node
            used[node] = 0
            leased[node] = 0
        end

        used[node] = used[node] + units

        if stamp > now + ARGV[2] then
            leased[node] = leased[node] + units
        end
    end
end

for _, node in ipairs(names) do
    answer[#answer + 1] = node
    answer[#answer + 1] = used[node]
    answer[#answer + 1] = leased[node]
end

return answer
