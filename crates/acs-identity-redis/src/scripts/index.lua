-- Keeps one part of a customer's index, or of the index by expiry, in a cluster, where a record is on another node.
--
-- In a sorted set, the member of an ACS ID has the creation time of its record, or the expiry. With \0 in front of it, which no
-- ACS ID can hold, it is the intent of a writer to need that entry; with \1 in front, a mark of somebody who doubts the
-- entry. Both have the time of the server at which they were made, negative, so that no reader of the list meets them. Where several
-- writers intend at once, there is one intent for all, of the last one's time, and with \3 in front how many they are, negative, too. Which
-- of them wrote last is not known here: they leave the entry half a microsecond beside the whole numbers, where nobody takes it out who goes by
-- the time of a record that he has replaced, but only who looks at the record that is there.
--
-- KEYS: the part.
-- ARGV: for each item: the ACS ID as it stands in indexes, what to do, and two values. Answers with the server's time, and a number for each
-- item: 1 if it was done, 0 if it was not to be.
--   n  note an intent, and make an entry unless there is one; 2 if there was none
--   s  settle an intent of the time in the first value; the second is the record's creation time if it became the customer's
--   d  drop the entry if it is of a record that was created at the first value, unless somebody intends to need it
--   m  mark the entry as doubted, if it is there, unless somebody intends to need it
--   c  clear the mark of the time in the first value
--   w  sweep the entry away if it still has the mark of the time in the first value
--   a  make an entry at the first value, unless there is one
-- In the index by expiry:
--   i  note an intent
--   e  make an entry: at the first value, or a lifetime of the second from now; one that is there and earlier stays, as the write that
--      it is for may yet be refused
--   t  settle an intent of the time in the first value; the second is the record's expiry, if one was written. In any index
--      without a second value: take the intent back, and leave the entry
--   v  move an entry from the first value to the second, unless somebody intends to need it
--   k  take an entry out if it is still at the first value, unless somebody intends to need it

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
-- A writer refuses an intent of its own after thirty seconds; after so long it is nobody's any more.
local OLD = 600000000
local key = KEYS[1]

local function exact(number)
  return string.format('%.0f', number)
end

local function intended(id)
  local at = redis.call('ZSCORE', key, '\0' .. id)
  return at and now + at < OLD
end

local function is_at(member, time)
  local score = redis.call('ZSCORE', key, member)
  return score and tonumber(score) == tonumber(time)
end

-- How many writers a fresh intent is of.
local function writers(id)
  local count = redis.call('ZSCORE', key, '\3' .. id)
  return count and -count or 1
end

local function intend(id)
  if intended(id) then
    -- Of a time that is neither's own: each sees that he was not alone.
    redis.call('ZADD', key, exact(-writers(id) - 1), '\3' .. id, exact(-now - 1), '\0' .. id)
  else
    redis.call('ZADD', key, exact(-now), '\0' .. id)
    redis.call('ZREM', key, '\3' .. id)
  end
end

-- Whether nobody else has intended since.
local function is_alone(id, noted)
  return is_at('\0' .. id, -noted)
end

local function take_back(id, noted)
  local alone = is_alone(id, noted)
  -- One that is too old is not among those that are counted.
  if alone or now - noted < OLD then
    local count = alone and 1 or writers(id)
    if count <= 1 then
      redis.call('ZREM', key, '\0' .. id, '\3' .. id)
    else
      redis.call('ZADD', key, exact(1 - count), '\3' .. id)
    end
  end
end

local answer = { now }
for at = 1, #ARGV, 4 do
  local id, what, first, second = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local done = 1
  if what == 'n' then
    done = 1 + redis.call('ZADD', key, 'NX', exact(now), id)
    intend(id)
    redis.call('ZREM', key, '\1' .. id)
  elseif what == 's' then
    local alone = is_alone(id, first)
    if second ~= '' then
      redis.call('ZADD', key, alone and second or second .. '.5', id)
    elseif alone then
      redis.call('ZREM', key, id, '\1' .. id)
    end
    take_back(id, first)
  elseif what == 'd' then
    -- One of another time is of a newer record of the same customer, which somebody has written since.
    if intended(id) or not is_at(id, first) then
      done = 0
    else
      redis.call('ZREM', key, id, '\0' .. id, '\1' .. id, '\3' .. id)
    end
  elseif what == 'm' then
    if intended(id) then
      done = 0
    elseif redis.call('ZSCORE', key, id) then
      redis.call('ZADD', key, exact(-now), '\1' .. id)
    end
  elseif what == 'c' then
    if is_at('\1' .. id, -first) then
      redis.call('ZREM', key, '\1' .. id)
    end
  elseif what == 'w' then
    -- A mark of another time is of a reader who has not looked again yet.
    if is_at('\1' .. id, -first) and not intended(id) then
      redis.call('ZREM', key, id, '\0' .. id, '\1' .. id, '\3' .. id)
    else
      done = 0
    end
  elseif what == 'a' then
    redis.call('ZADD', key, 'NX', first, id)
  elseif what == 'i' then
    intend(id)
  elseif what == 'e' then
    redis.call('ZADD', key, 'LT', first ~= '' and first or exact(now + second), id)
  elseif what == 't' then
    if second ~= '' and is_alone(id, first) then
      redis.call('ZADD', key, second, id)
    elseif second ~= '' then
      -- The earliest is not too late for any; and always another one than somebody may have seen before.
      local at = math.min(tonumber(redis.call('ZSCORE', key, id) or second), tonumber(second))
      redis.call('ZADD', key, exact(math.floor(at) - 1) .. '.5', id)
    end
    take_back(id, first)
  elseif what == 'v' or what == 'k' then
    if first == second or intended(id) or not is_at(id, first) then
      done = 0
    elseif what == 'v' then
      redis.call('ZADD', key, second, id)
    else
      redis.call('ZREM', key, id, '\0' .. id, '\3' .. id)
    end
  end
  if what == 'd' or what == 's' then
    -- Only what changes the key tells those who follow it that the record is another one now.
    redis.call('ZADD', key, '-inf', '\2')
    redis.call('ZREM', key, '\2')
  end
  answer[#answer + 1] = done
end
return answer
