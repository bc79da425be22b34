-- Notes how a login failed and drops its lease, in one step: nobody may lead before the failure is known.
--
-- KEYS   tok, lease, meta, guard, cool (tok is not used)
-- ARGV   owner, fingerprint
--        kind          rejected, locked, transient, ambiguous or abandoned
--        share         random, 0 to 1: which part of the cooldown is waited
--        first_ms      cooldown after a first failure; doubles with every failure in a row
--        longest_ms    its bound
--        asked_ms      what EnKash asked to wait, 0 for nothing
--        remembered    how many owners a list keeps
--        keep_ms       how long the bookkeeping outlives its last use
--        fence         the number that the attempt was made under, '' where it is not known
-- Reply  milliseconds of cooldown that now hold for everybody
--
-- A report that is sent again is known by its owner, and changes nothing. One from before a login that worked is not
-- charged, and does not bar credentials that have worked since.

local lease, meta, guard, cool = KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local owner, fingerprint, kind = ARGV[1], ARGV[2], ARGV[3]
local remembered = tonumber(ARGV[8])

local function names(list, first)
  local found, listed = {}, false
  if first then found[1] = first end
  for one in string.gmatch(list or '', '[^,]+') do
    if one == owner then listed = true end
    if #found < remembered then found[#found + 1] = one end
  end
  return listed, table.concat(found, ',')
end

local marks = redis.call('HMGET', meta, 'heard', 'abandoned', 'trying', 'fence', 'published')
local number = tonumber(ARGV[10]) or tonumber(marks[4] or 0)
local holder = redis.call('GET', lease)
if holder and string.match(holder, '^(.*):%d+$') == owner then redis.call('DEL', lease) end
if marks[3] and string.match(marks[3], '^(.*):[^:]*$') == owner then redis.call('HDEL', meta, 'trying') end

local cooling = math.max(redis.call('PTTL', cool), 0)
local listed, heard = names(marks[1], owner)
if listed then return cooling end
redis.call('HSET', meta, 'heard', heard)
redis.call('PEXPIRE', meta, ARGV[9])
if number < tonumber(redis.call('HGET', guard, 'proven:' .. fingerprint) or -1) then return cooling end
local final = kind == 'rejected' or kind == 'locked'
local forgiven = number < tonumber(marks[5] or -1) -- EnKash counts anew after a login that worked, with any password
if forgiven and not final then return cooling end

local text = string.format('%.0f', number)
if final then
  redis.call('HSET', guard, 'barred:' .. fingerprint, text)
  redis.call('HDEL', guard, 'proven:' .. fingerprint)
  if kind == 'locked' then redis.call('HSET', guard, 'locked', 1) end
end
-- A refusal is charged to proven credentials as well: EnKash counts a password that was changed there like any other.
if final or (kind ~= 'transient' and redis.call('HEXISTS', guard, 'proven:' .. fingerprint) == 0) then
  -- Whoever found its lease run out has charged the attempt already.
  if not forgiven and not names(marks[2]) then redis.call('HINCRBY', guard, 'spent', 1) end
end
if number > tonumber(redis.call('HGET', guard, 'failed') or -1) then redis.call('HSET', guard, 'failed', text) end
if final or kind == 'abandoned' then return 0 end

local failures = redis.call('HINCRBY', meta, 'failures', 1)
local ceiling = math.min(tonumber(ARGV[6]), tonumber(ARGV[5]) * 2 ^ math.min(failures - 1, 60))
local pause = math.ceil(math.max(tonumber(ARGV[4]) * ceiling, tonumber(ARGV[7])))
if pause <= cooling then return cooling end -- a late report knows less than the one before it
redis.call('SET', cool, failures, 'PX', string.format('%.0f', pause))
return pause
