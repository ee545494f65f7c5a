package redisbroker

import (
	"crypto/sha1"
	"encoding/hex"
)

// script is run by its SHA-1 if the server knows it already.
type script struct{ source, sum string }

func newScript(source string) *script {
	sum := sha1.Sum([]byte(source))
	return &script{source, hex.EncodeToString(sum[:])}
}

// Whatever has to be read or done atomically is a script. The scripts take the time from TIME, as ids do.

const luaNow = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
`

// appendScript stores each record whose key does not exist yet. It refuses an attempt that arrives after its deadline, because
// the network held it back: its key may be gone.
//
// KEYS: log, epochs, floor, and one for each record.
// ARGV: the most entries, the deadline, an epoch for a log that has none; and for each record the
// key's milliseconds, the token, the digest, the check, the record.
// It returns now, and for each record: token, digest, check, epoch, id.
var appendScript = newScript(luaNow + `
if now > tonumber(ARGV[2]) then return {now} end
local epoch = redis.call('LINDEX', KEYS[2], -1)
if not epoch then
  epoch = ARGV[3] .. ' 0-0'
  redis.call('RPUSH', KEYS[2], epoch)
end
epoch = string.match(epoch, '^%w+')
if redis.call('XLEN', KEYS[1]) == 0 and redis.call('EXISTS', KEYS[1]) == 1 then
  local s = redis.call('XINFO', 'STREAM', KEYS[1])
  local f = {}
  for i = 1, #s, 2 do f[s[i]] = s[i+1] end
  redis.call('SET', KEYS[3], f['last-generated-id'] .. ' ' .. f['entries-added'])
end
local out = {now}
for i = 4, #KEYS do
  local a = 4 + (i - 4) * 5
  local done = redis.call('GET', KEYS[i])
  if not done then
    local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'r', ARGV[a+4], 'by', ARGV[a+1])
    done = ARGV[a+1] .. ' ' .. ARGV[a+2] .. ' ' .. ARGV[a+3] .. ' ' .. epoch .. ' ' .. id
    redis.call('SET', KEYS[i], done, 'PX', ARGV[a])
  end
  out[#out+1] = done
end
return out
`)

// viewScript reads a part of the log, and the state of the log at that moment. It stops after the entry with which it exceeds
// the bytes asked for.
//
// KEYS: log, epochs, floor.
// ARGV: an id whose entry is to be checked, or ""; XRANGE or XREVRANGE; from; to; the most entries; bytes.
// It returns now, length, entries added, last id, first id, epochs, floor, the checked entry's SHA-1, entries.
var viewScript = newScript(luaNow + `
local f = {}
if redis.call('EXISTS', KEYS[1]) == 1 then
  local s = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #s, 2 do f[s[i]] = s[i+1] end
  if not f['entries-added'] then return redis.error_reply('ERR the server is older than Redis 7.0') end
end
local first = f['first-entry']
local sum = ''
if ARGV[1] ~= '' then
  local e = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
  if e then
    local parts = {}
    for _, v in ipairs(e[2]) do parts[#parts+1] = #v .. ':' .. v end
    sum = redis.sha1hex(table.concat(parts))
  end
end
local page, size, from, most, bytes = {}, 0, ARGV[3], tonumber(ARGV[5]), tonumber(ARGV[6])
while #page < most and size < bytes do
  local step = 8
  if #page > 0 then step = math.max(1, math.min(256, math.floor((bytes - size) / (size / #page)))) end
  step = math.min(step, most - #page)
  local es = redis.call(ARGV[2], KEYS[1], from, ARGV[4], 'COUNT', step)
  for _, e in ipairs(es) do
    page[#page+1] = e
    size = size + 32
    for _, v in ipairs(e[2]) do size = size + #v end
  end
  if #es < step then break end
  from = '(' .. es[#es][1]
end
return {now, f['length'] or 0, f['entries-added'] or 0, f['last-generated-id'] or '0-0', first and first[1] or '',
  redis.call('LRANGE', KEYS[2], 0, -1), redis.call('GET', KEYS[3]) or '', sum, page}
`)

// openScript gives a log its first epoch, if it has none.
//
// KEYS: epochs. ARGV: the epoch.
var openScript = newScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('RPUSH', KEYS[1], ARGV[1] .. ' 0-0') end
return 0
`)

// markScript opens a new epoch, unless another node has just done so. If the clock went back, the epoch's first entry gets an id
// above all ids seen, and so do all that follow.
//
// KEYS: log, epochs. ARGV: the newest epoch known, the new one's name, the highest id seen, its milliseconds, the next id.
var markScript = newScript(luaNow + `
if redis.call('LINDEX', KEYS[2], -1) ~= ARGV[1] then return 0 end
local id
if now <= tonumber(ARGV[4]) then
  id = redis.pcall('XADD', KEYS[1], ARGV[5], 'epoch', ARGV[2])
  if type(id) == 'table' then id = nil end
end
id = id or redis.call('XADD', KEYS[1], '*', 'epoch', ARGV[2])
redis.call('RPUSH', KEYS[2], ARGV[2] .. ' ' .. id)
redis.call('LTRIM', KEYS[2], -64, -1)
return 1
`)

// ageScript trims entries that are older than a number of milliseconds by the server's clock.
//
// KEYS: log. ARGV: the milliseconds.
var ageScript = newScript(luaNow + `
return redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%d', math.max(0, now - ARGV[1])))
`)

// The scripts call no command that was not needed before, because the user of an existing ACL may lack it. They only try RENAME,
// whose cost does not depend on the size of the hash.
const luaReplace = `
local function replace(from, to)
  redis.call('DEL', to)
  if type(redis.pcall('RENAME', from, to)) == 'table' and redis.call('EXISTS', from) == 1 then
    local all = redis.call('HGETALL', from)
    for i = 1, #all, 2 do redis.call('HSET', to, all[i], all[i+1]) end
    redis.call('DEL', from)
  end
end
`

// reportScript writes what a node reports. The node's hash lives as long as its lease, and has a field without a name, so that it
// exists without counts as well. The script returns -1 if it cannot add to the hash because that is gone.
//
// KEYS: the nodes' names, the node's hash, when nodes have reported last, a hash that is staged. ARGV: the node, its lease in
// milliseconds, "add", "replace" or "staged", for how many milliseconds a silent node is remembered, name and count…
var reportScript = newScript(luaNow + luaReplace + `
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[2], KEYS[4])
  redis.call('SREM', KEYS[1], ARGV[1])
  redis.call('HDEL', KEYS[3], ARGV[1])
  return 0
end
if ARGV[3] == 'add' then
  if redis.call('EXISTS', KEYS[2]) == 0 then return -1 end
elseif ARGV[3] == 'staged' then
  if redis.call('EXISTS', KEYS[4]) == 0 then return -1 end
  replace(KEYS[4], KEYS[2])
else
  redis.call('DEL', KEYS[2])
end
for i = 5, #ARGV, 2 do
  if ARGV[i+1] == '0' then redis.call('HDEL', KEYS[2], ARGV[i]) else redis.call('HSET', KEYS[2], ARGV[i], ARGV[i+1]) end
end
redis.call('HSET', KEYS[2], '', 'lease')
redis.call('PEXPIRE', KEYS[2], ARGV[2])
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[3], ARGV[1], string.format('%d', now))
local heard = redis.call('HGETALL', KEYS[3])
for i = 1, #heard, 2 do
  if tonumber(heard[i+1]) < now - ARGV[4] then redis.call('HDEL', KEYS[3], heard[i]) end
end
return 0
`)

// stageScript writes a part of a report that is too long for one script to a hash of its own. The old report counts until all
// parts are there.
//
// KEYS: the staged hash. ARGV: "1" for the first part, name and count…
var stageScript = newScript(`
if ARGV[1] == '1' then redis.call('DEL', KEYS[1]) end
for i = 2, #ARGV, 2 do
  if ARGV[i+1] ~= '0' then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i+1]) end
end
redis.call('PEXPIRE', KEYS[1], 60000)
return 0
`)

// heardScript lists the nodes that have reported within a number of milliseconds.
//
// KEYS: when nodes have reported last. ARGV: the milliseconds.
var heardScript = newScript(luaNow + `
local all, names = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #all, 2 do
  if tonumber(all[i+1]) >= now - ARGV[1] then names[#names+1] = all[i] end
end
return names
`)
