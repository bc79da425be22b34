-- Begins a login, and extends its lease while it lasts.
--
-- KEYS   tok, lease, meta, guard, cool (lease and meta are used)
-- ARGV   owner
--        lease_ms      how long the lease lasts without a heartbeat
--        fingerprint   of the credentials that the login is made with
--        keep_ms       how long the bookkeeping outlives its last use
-- Reply  1 when the lease is the owner's, else 0
--
-- Only a login that has begun is charged when its leader vanishes: a claim may be carried out long after its caller gave
-- it up, and then no login was sent.

local holder = redis.call('GET', KEYS[2])
if not holder or string.match(holder, '^(.*):%d+$') ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
redis.call('HSET', KEYS[3], 'trying', ARGV[1] .. ':' .. ARGV[3])
redis.call('PEXPIRE', KEYS[3], ARGV[4])
return 1
