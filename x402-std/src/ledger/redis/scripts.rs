/*!
The scripts, each of which the server runs as a whole.

They know of an entry its bytes, which they do not read, and four things more:

```text
entry:<id>        hash: entry (bytes), stage (open, over or failed), identifier (or empty),
                  debtor (or empty)
open              set of the ids of what is open
due               sorted set of the ids of what is not, by the Unix second from which it may go
owed:<payer>      set of the ids of what the payer owes
identifier:<hash> the id of the payment that has it
lease:<id>        the owner, for as long as the lease runs
format            the format of all this
```

KEYS are the entry, `open` and `due`; ARGV begins with the prefix of all keys and the id. A script may
end in the middle when the server has no memory left. So what is open is in `open` before it is
anywhere else, and leaves it last.
*/

use std::sync::LazyLock;

use ::redis::Script;

/// Of a few entries whose time is over, by the caller's clock and by the server's, nothing is left:
/// one gateway whose clock is ahead must not forget what the others still need.
const FORGET: &str = "
    local function owe(id, debtor)
        local key = ARGV[1] .. 'entry:' .. id
        local before = redis.call('HGET', key, 'debtor')
        if debtor ~= '' then redis.call('SADD', ARGV[1] .. 'owed:' .. debtor, id) end
        redis.call('HSET', key, 'debtor', debtor)
        if before and before ~= '' and before ~= debtor then
            redis.call('SREM', ARGV[1] .. 'owed:' .. before, id)
        end
    end
    local function forget(id)
        local key = ARGV[1] .. 'entry:' .. id
        local identifier = redis.call('HGET', key, 'identifier')
        if identifier and identifier ~= '' then
            local name = ARGV[1] .. 'identifier:' .. identifier
            if redis.call('GET', name) == id then redis.call('DEL', name) end
        end
        owe(id, '')
        redis.call('DEL', key)
        redis.call('ZREM', KEYS[3], id)
        redis.call('SREM', KEYS[2], id)
    end
";

/// entry, stage, identifier, now, debtor -> new | taken | known, entry
pub(super) static CLAIM: LazyLock<Script> = LazyLock::new(|| {
    with_forget(
        "
    local known = redis.call('HGET', KEYS[1], 'entry')
    if known then return {'known', known} end
    local id, entry, stage, identifier, now = ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
    local name = ARGV[1] .. 'identifier:' .. identifier
    if identifier ~= '' then
        local holder = redis.call('GET', name)
        if holder and holder ~= id then
            local other = redis.call('HGET', ARGV[1] .. 'entry:' .. holder, 'stage')
            if other and other ~= 'failed' then return {'taken'} end
        end
    end
    now = math.min(now, tonumber(redis.call('TIME')[1]))
    local before = string.format('(%.0f', now)
    local old = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', before, 'LIMIT', 0, 16)
    for _, over in ipairs(old) do forget(over) end
    redis.call('SADD', KEYS[2], id)
    owe(id, ARGV[7])
    redis.call('HSET', KEYS[1], 'entry', entry, 'stage', stage, 'identifier', identifier)
    if identifier ~= '' then redis.call('SET', name, id) end
    return {'new'}",
    )
});

/// old entry, new entry, stage, due, debtor -> whether it was the old one
pub(super) static SWAP: LazyLock<Script> = LazyLock::new(|| {
    with_forget(
        "
    if redis.call('HGET', KEYS[1], 'entry') ~= ARGV[3] then return 0 end
    local is_open = ARGV[5] == 'open'
    if is_open then redis.call('SADD', KEYS[2], ARGV[2]) end
    if ARGV[7] ~= '' then owe(ARGV[2], ARGV[7]) end
    redis.call('HSET', KEYS[1], 'entry', ARGV[4], 'stage', ARGV[5])
    if is_open then
        redis.call('ZREM', KEYS[3], ARGV[2])
    else
        redis.call('ZADD', KEYS[3], ARGV[6], ARGV[2])
        redis.call('SREM', KEYS[2], ARGV[2])
    end
    if ARGV[7] == '' then owe(ARGV[2], '') end
    return 1",
    )
});

/// old entry -> whether it was the old one
pub(super) static REMOVE: LazyLock<Script> = LazyLock::new(|| {
    with_forget(
        "
    if redis.call('HGET', KEYS[1], 'entry') ~= ARGV[3] then return 0 end
    forget(ARGV[2])
    return 1",
    )
});

/// -> the entries that are open
pub(super) static OPEN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
    local entries = {}
    for _, id in ipairs(redis.call('SMEMBERS', KEYS[2])) do
        local entry = redis.call('HGET', ARGV[1] .. 'entry:' .. id, 'entry')
        if entry then entries[#entries + 1] = entry end
    end
    return entries",
    )
});

/// payer -> the entries that the payer owes
pub(super) static OWED: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
    local entries = {}
    for _, id in ipairs(redis.call('SMEMBERS', ARGV[1] .. 'owed:' .. ARGV[3])) do
        local entry = redis.call('HGET', ARGV[1] .. 'entry:' .. id, 'entry')
        if entry then entries[#entries + 1] = entry end
    end
    return entries",
    )
});

/// owner, milliseconds -> whether it is the owner's
pub(super) static LEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
    local name = ARGV[1] .. 'lease:' .. ARGV[2]
    local holder = redis.call('GET', name)
    if holder and holder ~= ARGV[3] then return 0 end
    redis.call('SET', name, ARGV[3], 'PX', ARGV[4])
    return 1",
    )
});

/// owner -> whether it was the owner's
pub(super) static RELEASE_LEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
    local name = ARGV[1] .. 'lease:' .. ARGV[2]
    if redis.call('GET', name) ~= ARGV[3] then return 0 end
    return redis.call('DEL', name)",
    )
});

fn with_forget(script: &str) -> Script {
    Script::new(&format!("{FORGET}{script}"))
}
