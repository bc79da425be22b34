-- KEYS: records. ARGV, three for each: old and new value ('' for none, or '=' and the bytes), milliseconds to keep it ('' for ever).
local done = {}
for i, key in ipairs(KEYS) do
  local old, new, keep = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
  local held = redis.call('GET', key)
  done[i] = 0
  if (held and '=' .. held or '') == old then
    if new == '' then
      redis.call('DEL', key)
    elseif keep == '' then
      redis.call('SET', key, new:sub(2))
    else
      redis.call('SET', key, new:sub(2), 'PX', keep)
    end
    done[i] = 1
  end
end
return done
