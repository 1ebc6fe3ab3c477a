-- A poll has found a run pending: who else waits for it need not ask before
-- its owner will.
--
-- KEYS  who polls
-- ARGV  owner, ms
--
-- Returns 1, or 0 if it is another's by now

local owner = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) ')

if owner ~= ARGV[1] then
    return 0
end

return redis.call('PEXPIRE', KEYS[1], ARGV[2])
