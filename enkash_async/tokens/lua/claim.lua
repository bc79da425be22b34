-- Asks for the token of an account, or for the right to log in.
--
-- KEYS   tok, lease, meta, guard, cool
-- ARGV   owner         nonce of the refresh; the lease is held in its name
--        fingerprint   of the credentials that it would log in with
--        above         only a token of a higher generation will do
--        lease_ms      how long the lease lasts without a heartbeat
--        budget        attempts of unproven credentials
--        pause_us      microseconds after a forced renewal that bring no other one
--        remembered    how many owners a list keeps
--        keep_ms       how long the bookkeeping outlives its last use
-- Reply  the first that applies:
--        {'TOKEN', generation, value, lifetime_ms, pttl_ms, proven, settled_ms}
--        {'REFUSED', 'locked' | 'rejected' | 'budget'}
--        {'COOL', ms}
--        {'WAIT', ms}
--        {'LEAD', fence, forced}
--
-- Sent again with the same owner, it gives the same lease under the same fence.

local tok, lease, meta, guard, cool = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local owner, fingerprint, above = ARGV[1], ARGV[2], tonumber(ARGV[3])
local lease_ms, budget, pause_us, remembered, keep_ms = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local marks = redis.call('HMGET', meta, 'fence', 'watermark', 'trying', 'renewed', 'refused', 'abandoned')
local fence, watermark = tonumber(marks[1] or 0), tonumber(marks[2] or -1)
local proven = redis.call('HEXISTS', guard, 'proven:' .. fingerprint)

local held = redis.call('HMGET', tok, 'generation', 'value', 'lifetime', 'hold')
if held[1] and tonumber(held[1]) > math.max(above, watermark) then
  local left = redis.call('PTTL', tok)
  if left > tonumber(held[4]) then
    -- The instant of the renewal never leaves this server; one from before a clock was set back is not believed.
    local age = now - tonumber(marks[4] or 0)
    local settled = 0
    if age >= 0 and age < pause_us then settled = math.ceil((pause_us - age) / 1000) end
    return {'TOKEN', tonumber(held[1]), held[2], tonumber(held[3]), left, proven, settled}
  end
end

local holder = redis.call('GET', lease)
local mine = false
if holder then
  local name, number = string.match(holder, '^(.*):(%d+)$')
  if name == owner then mine = number end
end

-- A leader that vanished after it began may have sent its login: like one without an answer, it is charged to unproven
-- credentials.
local trying = marks[3]
if trying and not holder then
  local name, print = string.match(trying, '^(.*):([^:]*)$')
  if name ~= owner then
    redis.call('HDEL', meta, 'trying')
    if redis.call('HEXISTS', guard, 'proven:' .. print) == 0 then
      redis.call('HINCRBY', guard, 'spent', 1)
      redis.call('HSET', guard, 'failed', marks[1])
      local names = {}
      for one in string.gmatch(name .. ',' .. (marks[6] or ''), '[^,]+') do
        if #names < remembered then names[#names + 1] = one end
      end
      redis.call('HSET', meta, 'abandoned', table.concat(names, ','))
    end
  end
end

local spent = redis.call('HMGET', guard, 'locked', 'spent', 'barred:' .. fingerprint)
if spent[1] then return {'REFUSED', 'locked'} end
if spent[3] then return {'REFUSED', 'rejected'} end
if proven == 0 and tonumber(spent[2] or 0) >= budget then return {'REFUSED', 'budget'} end

local cooling = redis.call('PTTL', cool)
if cooling > 0 then return {'COOL', cooling} end

local forced = marks[5] and 1 or 0
if mine then return {'LEAD', tonumber(mine), forced} end
if holder then return {'WAIT', math.max(redis.call('PTTL', lease), 1)} end

fence = math.max(fence + 1, now, above + 1, watermark + 1, tonumber(held[1] or -1) + 1)
-- Lua would write a number of this size as 1.7e+15.
local number = string.format('%.0f', fence)
redis.call('SET', lease, owner .. ':' .. number, 'PX', lease_ms)
redis.call('HSET', meta, 'fence', number)
redis.call('HDEL', meta, 'trying') -- it is the owner's own, of a login that was given up before it was sent
redis.call('PEXPIRE', meta, keep_ms)
return {'LEAD', fence, forced}
