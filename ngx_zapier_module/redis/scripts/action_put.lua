-- A node has looked the id of an action up: the others need not.
--
-- KEYS  it
-- ARGV  id, ms that it may be used
--
-- Returns 1

redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])

return 1
