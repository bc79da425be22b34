-- Notes that an event was handled.
--
-- KEYS   the event
-- ARGV   owner
--        keep_ms    how long that is known
-- Reply  1 when the lease was the owner's, else 0
--
-- It is noted also where the lease was lost: what was done is done, and whoever has the lease now will see it. Sent
-- again, it finds what its own first sending left; that is no loss, so it answers 1. What another owner left is one.

local holder = redis.call('GET', KEYS[1])
local done = 'done:' .. ARGV[1]
redis.call('SET', KEYS[1], done, 'PX', ARGV[2])
if holder == done or holder == 'by:' .. ARGV[1] then return 1 end
return 0
