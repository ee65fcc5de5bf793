import { createHash } from 'node:crypto';

/** A Lua script: Redis runs it as one step, between the commands of others. */
export interface Script {
  readonly lua: string;
  readonly sha1: string;
}

/**
 * KEYS[1] is the list's name, and holds which generation of it counts. Beside it, for each generation: `meta` (how far it has come,
 * how many entries each of the other keys should have), `items` (id → document), `entries` (id → where it is entered), `keys`
 * (record → its items' ids), and a sorted set for each order, `o:<order>`, and for the items of each facet in it,
 * `f:<order>:<facet>`. The counts tell when Redis has evicted one of them.
 */
const COMMON = `
local function at(g, name) return KEYS[1] .. ':' .. g .. ':' .. name end

local function enter(g, index, place)
  if redis.call('ZADD', at(g, index), 0, place) == 1
    and redis.call('HINCRBY', at(g, 'meta'), 'n:' .. index, 1) == 1 then
    redis.call('SADD', at(g, 'indexes'), index)
  end
end

local function leave(g, index, place)
  if redis.call('ZREM', at(g, index), place) == 1
    and redis.call('HINCRBY', at(g, 'meta'), 'n:' .. index, -1) == 0 then
    redis.call('HDEL', at(g, 'meta'), 'n:' .. index)
    redis.call('SREM', at(g, 'indexes'), index)
  end
end

local function indexed(g, entry, act)
  local parts = cjson.decode(entry)
  for order, place in pairs(parts.o) do
    act(g, 'o:' .. order, place)
    for _, facet in ipairs(parts.f) do act(g, 'f:' .. order .. ':' .. facet, place) end
  end
end

local function drop_item(g, id)
  local entry = redis.call('HGET', at(g, 'entries'), id)
  if not entry then return end
  indexed(g, entry, leave)
  redis.call('HDEL', at(g, 'entries'), id)
  redis.call('HDEL', at(g, 'items'), id)
  redis.call('HINCRBY', at(g, 'meta'), 'items', -1)
end

local function put_item(g, row)
  local before = redis.call('HGET', at(g, 'entries'), row.id)
  if before ~= row.entry then
    if before then indexed(g, before, leave) else redis.call('HINCRBY', at(g, 'meta'), 'items', 1) end
    indexed(g, row.entry, enter)
    redis.call('HSET', at(g, 'entries'), row.id, row.entry)
  end
  redis.call('HSET', at(g, 'items'), row.id, row.document)
end

local function put_record(g, change)
  local now, ids = {}, {}
  for _, row in ipairs(change.rows) do
    now[row.id] = true
    ids[#ids + 1] = row.id
  end
  local before = redis.call('HGET', at(g, 'keys'), change.key)
  if before then
    for _, id in ipairs(cjson.decode(before)) do
      if not now[id] then drop_item(g, id) end
    end
  end
  for _, row in ipairs(change.rows) do put_item(g, row) end
  if #ids > 0 then
    if redis.call('HSET', at(g, 'keys'), change.key, cjson.encode(ids)) == 1 then
      redis.call('HINCRBY', at(g, 'meta'), 'keys', 1)
    end
  elseif before then
    redis.call('HDEL', at(g, 'keys'), change.key)
    redis.call('HINCRBY', at(g, 'meta'), 'keys', -1)
  end
end

local function discard(g)
  for _, index in ipairs(redis.call('SMEMBERS', at(g, 'indexes'))) do
    redis.call('UNLINK', at(g, index))
  end
  redis.call('UNLINK', at(g, 'indexes'), at(g, 'meta'), at(g, 'items'), at(g, 'entries'), at(g, 'keys'))
  redis.call('SREM', KEYS[1] .. ':generations', g)
end

local function count_of(g, field) return tonumber(redis.call('HGET', at(g, 'meta'), field) or 0) end

local function is_whole(g)
  local items = count_of(g, 'items')
  return redis.call('HLEN', at(g, 'items')) == items
    and redis.call('HLEN', at(g, 'entries')) == items
    and redis.call('HLEN', at(g, 'keys')) == count_of(g, 'keys')
end

local function current()
  local g = redis.call('GET', KEYS[1])
  if not g then return nil end
  local position = redis.call('HGET', at(g, 'meta'), 'position')
  if not position then return nil end
  return g, tonumber(position)
end
`;

const script = (lua: string): Script => {
  const whole = COMMON + lua;
  return { lua: whole, sha1: createHash('sha1').update(whole).digest('hex') };
};

/** How far the list has come, and by when what is there was stored: \`[generation, position, stored at]\`; null: there is none. */
export const STATUS = script(`
local g, position = current()
if not g then return false end
return {g, position, redis.call('HGET', at(g, 'meta'), 'storedAtMs')}
`);

/**
 * ARGV: from, to, stored at, changes. The changes are all that the stream has after \`from\`, up to \`to\`. A list that has not
 * come to \`from\` would miss some; one that is past \`to\` has them all; in between it takes those that it lacks.
 */
export const APPLY = script(`
local g, position = current()
if not g then return {'absent'} end
if position < tonumber(ARGV[1]) then return {'gap', position} end
if position >= tonumber(ARGV[2]) then return {'known', position} end
if not is_whole(g) then return {'torn', g} end
for _, change in ipairs(cjson.decode(ARGV[4])) do
  if change.revision > position then put_record(g, change) end
end
redis.call('HSET', at(g, 'meta'), 'position', ARGV[2], 'storedAtMs', ARGV[3])
return {'applied', tonumber(ARGV[2])}
`);

/** ARGV: token, milliseconds. One process at a time makes a list anew; what another left half made is taken away. */
export const BEGIN = script(`
if not redis.call('SET', KEYS[1] .. ':builder', ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end
local counts = redis.call('GET', KEYS[1])
for _, g in ipairs(redis.call('SMEMBERS', KEYS[1] .. ':generations')) do
  if g ~= counts then discard(g) end
end
redis.call('SADD', KEYS[1] .. ':generations', ARGV[1])
return 1
`);

/** ARGV: token, milliseconds, changes. 0: another process makes it by now. */
export const LOAD = script(`
if redis.call('GET', KEYS[1] .. ':builder') ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1] .. ':builder', ARGV[2])
for _, change in ipairs(cjson.decode(ARGV[3])) do put_record(ARGV[1], change) end
return 1
`);

/** ARGV: token, position, stored at. What was made counts from now on, unless what counts has come further. */
export const SWITCH = script(`
if redis.call('GET', KEYS[1] .. ':builder') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1] .. ':builder')
local g, position = current()
if g and position >= tonumber(ARGV[2]) then
  discard(ARGV[1])
  return 1
end
redis.call('HSET', at(ARGV[1], 'meta'), 'position', ARGV[2], 'storedAtMs', ARGV[3])
redis.call('SET', KEYS[1], ARGV[1])
if g then discard(g) end
return 1
`);

/** ARGV: generation. It counts no longer. */
export const DISCARD = script(`
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
discard(ARGV[1])
return 1
`);

/** ARGV: at least, order, descending, after, limit, most bytes, facets. Answers total, place of the last when there are more, items. */
export const PAGE = script(`
local g, position = current()
if not g then return {'absent'} end
if position < tonumber(ARGV[1]) then return {'behind', position} end
if not is_whole(g) then return {'torn', g} end
local order, descending = ARGV[2], ARGV[3] == '1'
local limit, most, facets = tonumber(ARGV[5]), tonumber(ARGV[6]), cjson.decode(ARGV[7])

local indexes = {}
for _, facet in ipairs(facets) do indexes[#indexes + 1] = 'f:' .. order .. ':' .. facet end
if #indexes == 0 then indexes[1] = 'o:' .. order end
local least, size
for _, index in ipairs(indexes) do
  local length = redis.call('ZCARD', at(g, index))
  if length ~= count_of(g, 'n:' .. index) then return {'torn', g} end
  if not size or length < size then least, size = index, length end
end
local function is_in_others(place)
  for _, index in ipairs(indexes) do
    if index ~= least and not redis.call('ZSCORE', at(g, index), place) then return false end
  end
  return true
end

local total = size
if #indexes > 1 then
  total = 0
  for _, place in ipairs(redis.call('ZRANGE', at(g, least), 0, -1)) do
    if is_in_others(place) then total = total + 1 end
  end
end

local CHUNK = 256
local items, bytes, last, after = {}, 0, '', ARGV[4]
while true do
  local places
  if descending then
    places = redis.call('ZREVRANGEBYLEX', at(g, least), after == '' and '+' or '(' .. after, '-', 'LIMIT', 0, CHUNK)
  else
    places = redis.call('ZRANGEBYLEX', at(g, least), after == '' and '-' or '(' .. after, '+', 'LIMIT', 0, CHUNK)
  end
  for _, place in ipairs(places) do
    if is_in_others(place) then
      local item = redis.call('HGET', at(g, 'items'), string.match(place, '%z(.*)$'))
      if not item then return {'torn', g} end
      if #items == limit or (#items > 0 and bytes + #item > most) then
        return {'page', total, last, items}
      end
      items[#items + 1] = item
      bytes = bytes + #item
      last = place
    end
    after = place
  end
  if #places < CHUNK then return {'page', total, '', items} end
end
`);

/** ARGV: at least, order, name of the facet. */
export const COUNTS = script(`
local g, position = current()
if not g then return {'absent'} end
if position < tonumber(ARGV[1]) then return {'behind', position} end
if not is_whole(g) then return {'torn', g} end
local prefix = 'n:f:' .. ARGV[2] .. ':' .. ARGV[3] .. '='
local fields, found = redis.call('HGETALL', at(g, 'meta')), {}
for at_field = 1, #fields, 2 do
  if string.sub(fields[at_field], 1, #prefix) == prefix then
    found[#found + 1] = string.sub(fields[at_field], #prefix + 1)
    found[#found + 1] = tonumber(fields[at_field + 1])
  end
end
return {'counts', found}
`);
