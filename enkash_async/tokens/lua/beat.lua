-- Extends a lease.
--
-- KEYS   tok, lease, meta, guard, cool (only lease is used)
-- ARGV   owner, lease_ms
-- Reply  1 when the lease is the owner's, else 0

local holder = redis.call('GET', KEYS[2])
if not holder or string.match(holder, '^(.*):%d+$') ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
