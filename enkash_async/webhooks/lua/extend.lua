-- Begins the lease on an event anew.
--
-- KEYS   the event
-- ARGV   owner, lease_ms
-- Reply  1 when the lease is the owner's, else 0

if redis.call('GET', KEYS[1]) ~= 'by:' .. ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
