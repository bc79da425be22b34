-- Gives the lease on an event back.
--
-- KEYS   the event
-- ARGV   owner
-- Reply  1 when the lease was the owner's, else 0

if redis.call('GET', KEYS[1]) ~= 'by:' .. ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
