-- Forgets bars, budget and cooldown of an account, for an operator who has put things right.
--
-- KEYS   tok, lease, meta, guard, cool (meta, guard and cool are used)
-- ARGV   none
-- Reply  how many marks were wiped

local meta, guard, cool = KEYS[3], KEYS[4], KEYS[5]

local wiped = redis.call('DEL', cool) + redis.call('HDEL', meta, 'failures', 'abandoned')
wiped = wiped + redis.call('HDEL', guard, 'spent', 'locked', 'failed')
for _, field in ipairs(redis.call('HKEYS', guard)) do
  if string.sub(field, 1, 7) == 'barred:' then wiped = wiped + redis.call('HDEL', guard, field) end
end
return wiped
