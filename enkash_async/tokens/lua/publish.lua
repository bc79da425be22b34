-- Stores the token of a login that worked, under the fence that its claim was given.
--
-- KEYS   tok, lease, meta, guard, cool
-- ARGV   owner, fingerprint
--        generation    the fence
--        value         the token as it is written, sealed or not
--        lifetime_ms   how long the token lives in all
--        px            how much of that is left
--        hold_ms       with this much left it is not handed out any more
--        keep_ms       how long the bookkeeping outlives its last use
-- Reply  1 stored; 0 stale: a token of this generation or a newer one was stored or refused meanwhile
--
-- A leader that was stopped past its lease comes here late: it must not replace a newer token. And a token that was
-- fetched without this server, and is offered now, says nothing about attempts that were made after it: bars and charges
-- carry the number of their attempt. Sent again, it finds its own token and stores it again.

local tok, lease, meta, guard, cool = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local owner, fingerprint, generation, px = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[6])

local holder = redis.call('GET', lease)
if holder and string.match(holder, '^(.*):%d+$') == owner then redis.call('DEL', lease) end
local marks = redis.call('HMGET', meta, 'watermark', 'trying', 'published', 'fence', 'abandoned')
if marks[2] and string.match(marks[2], '^(.*):[^:]*$') == owner then redis.call('HDEL', meta, 'trying') end

local held = redis.call('HMGET', tok, 'generation', 'owner')
local newest = tonumber(held[1] or -1)
local again = newest == generation and held[2] == owner
if px <= 0 or generation <= tonumber(marks[1] or -1) or (generation <= newest and not again) then return 0 end

redis.call('HSET', tok, 'generation', ARGV[3], 'value', ARGV[4], 'lifetime', ARGV[5], 'hold', ARGV[7], 'owner', owner)
redis.call('PEXPIRE', tok, px)
if again then return 1 end -- what has been said since stays
if redis.call('HDEL', meta, 'refused') == 1 then
  local time = redis.call('TIME')
  redis.call('HSET', meta, 'renewed', string.format('%.0f', tonumber(time[1]) * 1000000 + tonumber(time[2])))
end
if generation > tonumber(marks[3] or -1) then redis.call('HSET', meta, 'published', ARGV[3]) end
if generation > tonumber(marks[4] or -1) then redis.call('HSET', meta, 'fence', ARGV[3]) end
redis.call('PEXPIRE', meta, ARGV[8])

local against = redis.call('HMGET', guard, 'failed', 'barred:' .. fingerprint)
local failed = tonumber(against[1] or -1)
-- A charge of the same number was for this very login, whose leader had vanished.
local mine = string.find(',' .. (marks[5] or '') .. ',', ',' .. owner .. ',', 1, true)
if generation > failed or (generation == failed and mine) then
  redis.call('HDEL', guard, 'spent', 'locked', 'failed')
  redis.call('HDEL', meta, 'failures')
  redis.call('DEL', cool)
end
if generation > tonumber(against[2] or -1) then
  redis.call('HDEL', guard, 'barred:' .. fingerprint)
  redis.call('HSET', guard, 'proven:' .. fingerprint, ARGV[3])
end
return 1
