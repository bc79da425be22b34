-- Notes that EnKash refused a token.
--
-- KEYS   tok, lease, meta, guard, cool (tok and meta are used)
-- ARGV   generation
--        keep_ms       how long the bookkeeping outlives its last use
-- Reply  1 when a stored token was deleted, else 0
--
-- The watermark only rises, and a newer token is left alone: a refusal that arrives late deletes nothing.

local tok, meta, generation = KEYS[1], KEYS[3], tonumber(ARGV[1])

local marks = redis.call('HMGET', meta, 'watermark', 'published')
if generation > tonumber(marks[1] or -1) then
  redis.call('HSET', meta, 'watermark', ARGV[1])
  -- The login that follows is a forced renewal, unless a newer token has come since.
  if generation >= tonumber(marks[2] or -1) then redis.call('HSET', meta, 'refused', 1) end
  redis.call('PEXPIRE', meta, ARGV[2])
end

local held = redis.call('HGET', tok, 'generation')
if held and tonumber(held) <= tonumber(redis.call('HGET', meta, 'watermark') or -1) then return redis.call('DEL', tok) end
return 0
