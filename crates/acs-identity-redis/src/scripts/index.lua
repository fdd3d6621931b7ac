-- Keeps one part of a customer's index, or of the index by expiry, in a cluster, where a record is on another node.
--
-- In a sorted set, the member of an ACS ID has the creation time of its record, or the expiry. With \0 in front of it, which no
-- ACS ID can hold, it is a writer's intent to make the record the customer's; with \1 in front, a mark of somebody who doubts the
-- entry. Both have the time of the server at which they were made, negative, so that no reader of the list meets them.
--
-- KEYS: the part.
-- ARGV: for each item: the ACS ID as it stands in indexes, what to do, and two values. Answers with the server's time, and a number for each item.
--   n  note an intent, and make an entry unless there is one
--   s  settle an intent of the time in the first value; the second is the record's creation time if it became the customer's
--   d  drop the entry if it is of a record that was created at the first value, unless somebody intends to need it
--   m  mark the entry as doubted, unless somebody intends to need it; 1 if it is marked
--   w  sweep the entry away if it still has the mark of the time in the first value
--   a  make an entry at the first value, unless there is one
--   e  make an entry of the index by expiry: at the first value, or a lifetime of the second from now; one that is there and earlier
--      stays, as the write that it is for may yet be refused
--   v  move an entry of the index by expiry from the first value to the second
--   k  take an entry out of the index by expiry if it is still at the first value

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

local answer = { now }
for at = 1, #ARGV, 4 do
  local id, what, first, second = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local done = 1
  if what == 'n' then
    -- A fresh intent that is there is another writer's. Then there is one for both, of a time that neither settles: it stays
    -- until it is old.
    local noted = intended(id) and now + 1 or now
    redis.call('ZADD', key, 'NX', exact(now), id)
    redis.call('ZADD', key, exact(-noted), '\0' .. id)
    redis.call('ZREM', key, '\1' .. id)
  elseif what == 's' then
    local mine = is_at('\0' .. id, -tonumber(first))
    if second ~= '' then
      redis.call('ZADD', key, second, id)
    elseif mine then
      redis.call('ZREM', key, id)
    end
    if mine then
      redis.call('ZREM', key, '\0' .. id)
    end
  elseif what == 'd' then
    -- One of another time is of a newer record of the same customer, which somebody has written since.
    if intended(id) or not is_at(id, first) then
      done = 0
    else
      redis.call('ZREM', key, id, '\0' .. id, '\1' .. id)
    end
  elseif what == 'm' then
    if intended(id) then
      done = 0
    else
      redis.call('ZADD', key, exact(-now), '\1' .. id)
    end
  elseif what == 'w' then
    -- A mark of another time is of a reader who has not looked again yet.
    if is_at('\1' .. id, -tonumber(first)) and not intended(id) then
      redis.call('ZREM', key, id, '\0' .. id, '\1' .. id)
    end
  elseif what == 'a' then
    redis.call('ZADD', key, 'NX', first, id)
  elseif what == 'e' then
    redis.call('ZADD', key, 'LT', first ~= '' and first or exact(now + tonumber(second)), id)
  elseif what == 'v' then
    if is_at(id, first) then
      redis.call('ZADD', key, second, id)
    end
  elseif what == 'k' then
    if is_at(id, first) then
      redis.call('ZREM', key, id)
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
