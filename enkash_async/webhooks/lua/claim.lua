-- Asks for the right to handle an event.
--
-- KEYS   the event
-- ARGV   owner      nonce of the delivery; the lease is held in its name
--        lease_ms   how long the lease lasts without being extended
-- Reply  'mine', 'held' or 'done'
--
-- Sent again with the same owner, it gives the same lease.

local holder = redis.call('GET', KEYS[1])
if holder and string.sub(holder, 1, 5) == 'done:' then return 'done' end
if holder and holder ~= 'by:' .. ARGV[1] then return 'held' end
redis.call('SET', KEYS[1], 'by:' .. ARGV[1], 'PX', ARGV[2])
return 'mine'
