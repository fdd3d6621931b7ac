-- Writes records of ACS IDs, each by what is there of its own ID.
--
-- KEYS: the records of all items. If all keys are on this server, then for each item the part of the index in which its ACS ID is:
-- that of the new customer, of the customer who is asked for, or of nobody; then, unless each item is a 'c' without values, for each
-- item its part of the index by expiry.
-- ARGV: '1' if all keys are on this server, 'c' if moreover each item is a 'c' without values; what the keys of indexes begin with; the
-- latest time of the server at which this may be done; the number of items. Then for each item, of which there is only the second if
-- each is a 'c': what to do, a letter, with a letter for each value that follows; the ACS ID as it stands in indexes; the values. What
-- to do:
--   c  link if free
--   r  link whatever is there
--   v  link at the revision in the condition
--   i  import, with the revision, the creation time and the expiry as they are
--   u  unlink; the condition may be a revision, the customer the one who is expected
--   f  forget: unlink the customer's, also what has expired
--   b  bury what has expired
--   x  look only; take the ACS ID out of the customer's index if it is not the customer's (all keys on this server)
-- Values: N the condition, C the customer (where it is not the index's), P the properties, E the expiry (of a link its lifetime),
-- R the revision, T the creation time.
-- Answers with the server's time; then, unless it was too late, for each item one more than the creation time of the mapping that was
-- written, 0 if a tombstone was written, -1 if nothing was; and the record that was there, empty if it is another type of key. If each
-- item was a 'c', and written where nothing was, only with the time and the number of items.

local MAX = 9007199254740991

local bare = ARGV[1] == 'c'
local whole = bare or ARGV[1] == '1'
local index_prefix = ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
if now > tonumber(ARGV[3]) then
  return { now }
end

-- Whether a text can be a customer ID: up to 512 bytes of UTF-8 without control characters.
local function is_customer(text)
  if #text == 0 or #text > 512 then return false end
  if string.find(text, '^[ -~]+$') then return true end
  local at = 1
  while at <= #text do
    local a, b, c, d = string.byte(text, at, at + 3)
    local function more(byte) return byte and byte >= 128 and byte < 192 end
    if a < 32 or a == 127 then return false
    elseif a < 128 then at = at + 1
    elseif a < 194 then return false
    elseif a < 224 then
      -- The control characters from U+0080 to U+009F.
      if not more(b) or (a == 194 and b < 160) then return false end
      at = at + 2
    elseif a < 240 then
      if not (more(b) and more(c)) or (a == 224 and b < 160) or (a == 237 and b >= 160) then return false end
      at = at + 3
    elseif a < 245 then
      if not (more(b) and more(c) and more(d)) or (a == 240 and b < 144) or (a == 244 and b >= 144) then return false end
      at = at + 4
    else return false
    end
  end
  return true
end

-- The form of a record is described in record.rs. nil: nothing is there; false: it can't be read.
local function decode(raw)
  if not raw then return nil end
  local size = #raw
  local version, flags = string.byte(raw, 1, 2)
  if size < 9 or version ~= 1 then return false end
  local record = { revision = (struct.unpack('>I7', raw, 3)) }
  if flags == 0 then return size == 9 and record or false end
  if flags % 2 == 0 or flags > 15 then return false end
  local at, created, properties, expires = 10, flags >= 8, flags % 8 >= 4, flags % 4 >= 2
  if size < 9 + (created and 7 or 0) + (expires and 7 or 0) + (properties and 2 or 0) then return false end
  record.created = record.revision
  if created then
    record.created, at = struct.unpack('>I7', raw, at)
  end
  if expires then
    record.expires, at = struct.unpack('>I7', raw, at)
  end
  if properties then
    local length
    length, at = struct.unpack('>I2', raw, at)
    if size < at + length - 1 then return false end
    record.customer = string.sub(raw, at, at + length - 1)
  else
    record.customer = string.sub(raw, at)
  end
  if not is_customer(record.customer) then return false end
  return record
end

local function exact(number)
  return string.format('%.0f', number)
end

-- The revision of the next write; nil if there is none.
local function next_revision(old)
  if not old then return math.min(now, MAX) end
  if old.revision >= MAX then return nil end
  return math.max(old.revision + 1, math.min(now, MAX))
end

-- The same of most items of a batch.
local now_text, now_bytes = exact(now), struct.pack('>I7', now)

local count = tonumber(ARGV[4])
local there = redis.call('EXISTS', unpack(KEYS, 1, count))
if bare and there == 0 then
  -- So it mostly is when a store is filled. The same as below, without all that is then not needed.
  local call, sub, head, customer_at = redis.call, string.sub, '\1\1' .. now_bytes, #index_prefix + 3
  local records = {}
  for i = 1, count do
    local index = KEYS[count + i]
    call('ZADD', index, now_text, ARGV[4 + i])
    records[2 * i - 1], records[2 * i] = KEYS[i], head .. sub(index, customer_at)
  end
  call('MSET', unpack(records))
  return { now, count }
end

local found = there > 0 and redis.call('MGET', unpack(KEYS, 1, count)) or {}
for i = 1, count do
  there = there - (found[i] and 1 or 0)
end
for i = 1, there > 0 and count or 0 do
  -- A key of another type is no record, and not nothing either.
  if not found[i] and redis.call('EXISTS', KEYS[i]) == 1 then
    found[i] = ''
  end
end

local function encode(revision, created, expires, customer, properties)
  local flags, head = 1, revision == now and now_bytes or struct.pack('>I7', revision)
  if created ~= revision then
    flags, head = flags + 8, head .. struct.pack('>I7', created)
  end
  if expires then
    flags, head = flags + 2, head .. struct.pack('>I7', expires)
  end
  if properties ~= '' then
    flags, head = flags + 4, head .. struct.pack('>I2', #customer)
  end
  return string.char(1, flags) .. head .. customer .. properties
end

local place = 4
local function value(spec, letter)
  if string.find(spec, letter, 2, true) then
    place = place + 1
    return ARGV[place]
  end
end

local answer = { now }
-- What is written when all new entries of indexes are there, and what is removed after that: a script that ends half-way, at a key
-- that is not what it should be, leaves an entry too many, never one too few; and no record is written then.
local plain, timed, former = {}, {}, {}
for i = 1, count do
  local spec, id = 'c', ARGV[4 + i]
  if not bare then
    spec, id = ARGV[place + 1], ARGV[place + 2]
    place = place + 2
  end
  local what, index = string.sub(spec, 1, 1), whole and KEYS[count + i]
  local expiring_key = whole and not bare and KEYS[2 * count + i]
  local condition, customer, properties, expiry, given_revision, given_creation
  if #spec > 1 then
    condition, customer, properties = value(spec, 'N'), value(spec, 'C'), value(spec, 'P')
    expiry, given_revision, given_creation = value(spec, 'E'), value(spec, 'R'), value(spec, 'T')
  end
  properties = properties or ''
  -- The customer's own key says it, behind the part and a colon.
  customer = customer or (whole and string.sub(index, #index_prefix + 3)) or ''
  local old = decode(found[i])
  local revision, created, expires -- of the new record; a tombstone has only a revision
  if old ~= false then
    local alive = old and old.customer and not (old.expires and old.expires <= now)
    if what == 'c' or what == 'r' or what == 'v' then
      local free = what == 'r' or (what == 'c' and not alive)
      if free or (what == 'v' and alive and old.revision == tonumber(condition)) then
        revision = next_revision(old)
        created = (alive and old.customer == customer) and old.created or now
        if expiry then
          expires = math.min(now + tonumber(expiry), MAX)
        end
      end
    elseif what == 'i' then
      expires = expiry and tonumber(expiry)
      local new = tonumber(given_revision)
      if not (expires and expires <= now) and not (old and old.revision >= new) then
        revision, created = new, tonumber(given_creation)
      end
    elseif what == 'u' then
      if alive and (customer == '' or customer == old.customer)
        and (not condition or tonumber(condition) == old.revision) then
        revision = next_revision(old) or MAX
      end
    elseif what == 'f' then
      if old and old.customer == customer then
        revision = alive and (next_revision(old) or MAX) or old.revision
      end
    elseif what == 'b' then
      if old and old.customer and not alive then
        revision = old.revision
      end
    elseif what == 'x' then
      if not (old and old.customer == customer) then
        redis.call('ZREM', index, id)
      end
    end
  end

  if revision then
    if whole then
      if old and old.customer and not (created and old.customer == customer) then
        local part = string.sub(index, #index_prefix + 1, #index_prefix + 1)
        former[#former + 1] = { index_prefix .. part .. ':' .. old.customer, id }
      end
      if created then
        if old and old.customer == customer then
          -- Only what changes the key tells those who follow it that the mapping has a new revision.
          redis.call('ZADD', index, '-inf', id)
        end
        redis.call('ZADD', index, created == now and now_text or exact(created), id)
        if expires then
          redis.call('ZADD', expiring_key, exact(expires), id)
        end
      end
      -- In place of what has expired, a 'c' without values leaves the entry to the purge, for which it is due.
      if old and old.expires and expiring_key and not (created and expires) then
        former[#former + 1] = { expiring_key, id }
      end
    end
    if not created then
      -- For an hour.
      timed[#timed + 1] = { KEYS[i], string.char(1, 0) .. struct.pack('>I7', revision), 'PX', '3600000' }
    else
      -- What expires is there until it is purged: whose it was has to be known then.
      plain[#plain + 1] = KEYS[i]
      plain[#plain + 1] = encode(revision, created, expires, customer, properties)
    end
  end
  answer[2 * i] = revision and (created and created + 1 or 0) or -1
  answer[2 * i + 1] = found[i] or false
end
for _, entry in ipairs(former) do
  if not redis.acl_check_cmd('ZREM', unpack(entry)) then
    return redis.error_reply('NOPERM this user may not take entries out of indexes')
  end
end
if #plain > 0 then
  redis.call('MSET', unpack(plain))
end
for _, tombstone in ipairs(timed) do
  redis.call('SET', unpack(tombstone))
end
for _, entry in ipairs(former) do
  -- The records are written. If this is no index, there is nothing to be taken out of it.
  redis.pcall('ZREM', unpack(entry))
end
return answer
