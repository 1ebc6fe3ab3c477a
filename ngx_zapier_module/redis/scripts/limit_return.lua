-- Gives units back that were claimed and not used.
--
-- KEYS  the scopes
-- ARGV  node, then for each scope a line of numbers: limit, window in ms,
--       and units and stamp of two leases

for i, key in ipairs(KEYS) do
    local text = redis.call('GET', key)
    local list, shares = {}
    local numbers = {}

    if text then
        list, shares = cmsgpack.unpack(text)
    end

    for number in string.gmatch(ARGV[i + 1], '%d+') do
        numbers[#numbers + 1] = tonumber(number)
    end

    local step = numbers[1] > 128 and math.ceil(numbers[2] / 128) or 1

    for k = 3, 5, 2 do
        for n = 1, #list, 3 do
            if list[n + 2] == ARGV[1]
               and math.floor(list[n] / step)
                   == math.floor(numbers[k + 1] / step)
            then
                list[n + 1] = math.max(list[n + 1] - numbers[k], 0)
            end
        end
    end

    if #list > 0 then
        redis.call('SET', key, cmsgpack.pack(list, shares), 'KEEPTTL')
    end
end

return 1
