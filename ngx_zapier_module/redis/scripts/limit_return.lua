-- Gives units back that were claimed and not used.
--
-- KEYS  the scopes
-- ARGV  node, then for each scope: limit, window in ms, units, stamp

for i, key in ipairs(KEYS) do
    local limit, window, units, stamp = string.match(ARGV[i + 1],
                                             '^(%d+) (%d+) (%d+) (%d+)$')
    local step = tonumber(limit) > 128 and math.ceil(window / 128) or 1
    local bucket = math.floor(stamp / step)
    local text = redis.call('GET', key)
    local list = text and cmsgpack.unpack(text) or {}

    for n = 1, #list, 3 do
        if list[n + 2] == ARGV[1] and math.floor(list[n] / step) == bucket
        then
            list[n + 1] = math.max(list[n + 1] - units, 0)

            redis.call('SET', key, cmsgpack.pack(list), 'KEEPTTL')
            break
        end
    end
end

return 1
