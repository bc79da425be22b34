-- Tells how an account stands, without its token; changes nothing.
--
-- KEYS   tok, lease, meta, guard, cool
-- ARGV   fingerprint
-- Reply  {generation, form, lifetime_ms, pttl_ms, watermark, spent, locked, barred, barred_in_all, proven,
--         cool_ms, lease_ms, failures}; numbers, -1 where there is none, and form as a text: p1 plain, s1:<key id>
--         sealed, '' where there is no token

local tok, lease, meta, guard, cool = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

local held = redis.call('HMGET', tok, 'generation', 'value', 'lifetime')
local marks = redis.call('HMGET', meta, 'watermark', 'failures')
local seen = redis.call('HMGET', guard, 'spent', 'locked', 'barred:' .. ARGV[1], 'proven:' .. ARGV[1])
local barred = 0
for _, field in ipairs(redis.call('HKEYS', guard)) do
  if string.sub(field, 1, 7) == 'barred:' then barred = barred + 1 end
end
local value = held[2] or ''
local form = string.match(value, '^(s1:%x+):') or string.match(value, '^(%w+):') or ''
return {
  tonumber(held[1] or -1), form, tonumber(held[3] or -1),
  redis.call('PTTL', tok), tonumber(marks[1] or -1), tonumber(seen[1] or 0), tonumber(seen[2] or 0),
  seen[3] and 1 or 0, barred, seen[4] and 1 or 0, redis.call('PTTL', cool), redis.call('PTTL', lease),
  tonumber(marks[2] or 0),
}
