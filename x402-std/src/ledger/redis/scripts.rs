/*!
The scripts, each of which the server runs as a whole.

They know of an entry its bytes, of which they read one (whether it is settled), and two things more:

```text
entry:<id>        hash: entry (bytes), stage (open, over or failed), identifier (or empty)
open              set of the ids of what is open
due               sorted set of the ids of what is not, by the Unix second from which it may go; by 2^53, if it may
                  never, for it is paid and not served
owed              hash: what is owed in each account, if it is not zero, as 0x and 64 digits
debts:<payer>     set of the ids of the payer's debts
identifier:<hash> the id of the payment that has it
lease:<id>        the owner, for as long as the lease runs
paid:<transaction> hash: what has paid, by its position, as the payment's id, a blank and the block; or, where
                  the whole transaction counts as used, by the payment's id, as nothing
paid              sorted set of <transaction>/<field> of these, by the Unix second from which they may go
unfinal:<chain>   sorted set of <block>/<id>, by name: what was paid for in blocks that are not final
balances          hash: the balance of each account, if it is not zero, as 0x and 64 digits
draw:<id>         the bytes of a draw
held              set of the ids of the draws that are held
done              sorted set of the ids of those that are not, by the Unix second from which they may go
names             hash: which names of each balance are good, where they were ever replaced
format            the format of all this
identity          which ledger it is
```

A transaction's name is chain id and hash, in hex; a chain's is its id, and a block's is its number and hash.

KEYS are the entry, `open` and `due`, or the draw, `balances`, `held` and `done`; ARGV begins with the
prefix of all keys and the id. A script may end in the middle when the server has no memory left. So
what is open is in `open` before it is anywhere else, and leaves it last. Balances and what is owed
change beside something else: memory is asked for at the first write, and once a script has written,
it is not asked again.
*/

use std::sync::LazyLock;

use ::redis::Script;

/// Of a few entries whose time is over, by the caller's clock and by the server's, nothing is left:
/// one gateway whose clock is ahead must not forget what the others still need.
const FORGET: &str = "
    local function forget(id)
        local key = ARGV[1] .. 'entry:' .. id
        local identifier = redis.call('HGET', key, 'identifier')
        if identifier and identifier ~= '' then
            local name = ARGV[1] .. 'identifier:' .. identifier
            if redis.call('GET', name) == id then redis.call('DEL', name) end
        end
        redis.call('DEL', key)
        redis.call('ZREM', KEYS[3], id)
        redis.call('SREM', KEYS[2], id)
    end
";

/// The numbers of Lua are exact to 53 bits, so balances are counted by 16 bits at a time. They are not
/// there where they would be less than nothing, or more than 256 bits.
const COUNT: &str = "
    local zero = '0x' .. string.rep('0', 64)
    local function sum(a, b, sign)
        local limbs, carry = {}, 0
        for at = 16, 1, -1 do
            local from, to = at * 4 - 1, at * 4 + 2
            local limb = tonumber(a:sub(from, to), 16)
            limb = limb + sign * tonumber(b:sub(from, to), 16) + carry
            carry = math.floor(limb / 65536)
            limbs[at] = string.format('%04x', limb - carry * 65536)
        end
        if carry == 0 then return '0x' .. table.concat(limbs) end
    end
    local function balance(balances, account)
        return redis.call('HGET', balances, account) or zero
    end
    local function keep(balances, account, amount)
        if amount == zero then
            redis.call('HDEL', balances, account)
        else
            redis.call('HSET', balances, account, amount)
        end
    end
";

/// What is owed by the account once so much of it is less and so much more, or else why not; and the
/// writing of it. Of an account without a name it stays as it is.
const OWE: &str = "
    local function owed(account, less, more)
        if account == '' then return zero end
        local others = sum(balance(ARGV[1] .. 'owed', account), less, -1)
        if not others then return nil, 3 end
        return sum(others, more, 1), 2
    end
    local function owe(id, account, amount, payer, debt)
        if account ~= '' then keep(ARGV[1] .. 'owed', account, amount) end
        local debts = ARGV[1] .. 'debts:' .. payer
        if debt == 'debt' then redis.call('SADD', debts, id) end
        if debt == 'none' then redis.call('SREM', debts, id) end
    end
";

/// Why a log cannot pay, if it cannot; the writing down that it has paid, and that it has not: where it is
/// said whose it was, only if it is theirs still.
const PAY: &str = "
    local function refusal(transaction, position, block)
        local rows, why = redis.call('HGETALL', ARGV[1] .. 'paid:' .. transaction), nil
        for at = 1, #rows, 2 do
            local there = rows[at + 1]:match(' (.*)$')
            if there and there ~= block then return 5 end
            if not there or rows[at] == position then why = 4 end
        end
        return why
    end
    local function pay(transaction, field, value, due)
        redis.call('HSET', ARGV[1] .. 'paid:' .. transaction, field, value)
        redis.call('ZADD', ARGV[1] .. 'paid', due, transaction .. '/' .. field)
    end
    local function chain_of(id)
        return ARGV[1] .. 'unfinal:' .. id:sub(1, 18)
    end
    local function unpay(transaction, field, whose)
        local key = ARGV[1] .. 'paid:' .. transaction
        local value = redis.call('HGET', key, field) or ''
        local id, block = value:match('^(.*) (.*)$')
        if whose and id and id ~= whose then return end
        redis.call('ZREM', ARGV[1] .. 'paid', transaction .. '/' .. field)
        redis.call('HDEL', key, field)
        if id then redis.call('ZREM', chain_of(id), block .. '/' .. id) end
    end
";

/// What a script answers that has done what it was told.
pub(super) const DONE: u8 = 1;
/// What a script answers where a balance, or what is owed, would be too large.
pub(super) const TOO_MUCH: u8 = 2;
/// What a script answers where less is owed than was owed for the payment.
pub(super) const DAMAGED: u8 = 3;
/// What a script answers where a log has paid for another payment.
pub(super) const TAKEN: u8 = 4;
/// What a script answers where a transaction is recorded in another block.
pub(super) const REMINED: u8 = 5;
/// What a script answers where a transaction does not count as used for the payment.
pub(super) const MISSING: u8 = 6;

/// entry, stage, identifier, now, account, less, more, payer, debt -> new | taken | too much |
/// known, entry
pub(super) static CLAIM: LazyLock<Script> = LazyLock::new(|| {
    with_functions(
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
    local amount = owed(ARGV[7], ARGV[8], ARGV[9])
    if not amount then return {'too much'} end
    now = math.min(now, tonumber(redis.call('TIME')[1]))
    local before = string.format('(%.0f', now)
    local old = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', before, 'LIMIT', 0, 16)
    for _, over in ipairs(old) do
        local entry = redis.call('HGET', ARGV[1] .. 'entry:' .. over, 'entry')
        -- The versions before gave a time to what is settled and not served.
        if entry and entry:byte(2) == 3 then
            redis.call('ZADD', KEYS[3], 9007199254740992, over)
        else
            forget(over)
        end
    end
    old = redis.call('ZRANGEBYSCORE', ARGV[1] .. 'paid', '-inf', before, 'LIMIT', 0, 16)
    for _, over in ipairs(old) do unpay(over:match('^(.*)/(.*)$')) end
    redis.call('SADD', KEYS[2], id)
    owe(id, ARGV[7], amount, ARGV[10], ARGV[11])
    redis.call('HSET', KEYS[1], 'entry', entry, 'stage', stage, 'identifier', identifier)
    if identifier ~= '' then redis.call('SET', name, id) end
    return {'new'}",
    )
});

/// old entry, new entry, stage, due, account of what it earns or gives back, what it earns, what it gives
/// back, of which balance (or empty, where that is more than enough), account, less, more, payer, debt,
/// what becomes of the log (gains, loses or empty), transaction, position (or id), block, until
/// -> 0 (not the old one, or not the balance) | done | too much | damaged | taken | remined
pub(super) static SWAP: LazyLock<Script> = LazyLock::new(|| {
    with_functions(
        "
    if redis.call('HGET', KEYS[1], 'entry') ~= ARGV[3] then return 0 end
    local amount, why = owed(ARGV[11], ARGV[12], ARGV[13])
    if not amount then return why end
    local change, transaction, field, block = ARGV[16], ARGV[17], ARGV[18], ARGV[19]
    if change == 'gains' then
        why = refusal(transaction, field, block)
        if why then return why end
    end
    if ARGV[7] ~= '' then
        local balances = ARGV[1] .. 'balances'
        local before = balance(balances, ARGV[7])
        if ARGV[10] ~= '' and ARGV[10] ~= before then return 0 end
        local rest = sum(before, ARGV[9], -1)
        if not rest then return 0 end
        local earned = sum(rest, ARGV[8], 1)
        if not earned then return 2 end
        keep(balances, ARGV[7], earned)
    end
    local is_open = ARGV[5] == 'open'
    if is_open then redis.call('SADD', KEYS[2], ARGV[2]) end
    if change == 'gains' then
        pay(transaction, field, ARGV[2] .. ' ' .. block, ARGV[20])
        redis.call('ZADD', chain_of(ARGV[2]), 0, block .. '/' .. ARGV[2])
    end
    owe(ARGV[2], ARGV[11], amount, ARGV[14], ARGV[15])
    redis.call('HSET', KEYS[1], 'entry', ARGV[4], 'stage', ARGV[5])
    if is_open then
        redis.call('ZREM', KEYS[3], ARGV[2])
    else
        redis.call('ZADD', KEYS[3], ARGV[6], ARGV[2])
        redis.call('SREM', KEYS[2], ARGV[2])
    end
    if change == 'loses' then unpay(transaction, field, ARGV[2]) end
    return 1",
    )
});

/// transaction -> its fields and values
pub(super) static PAID_BY: LazyLock<Script> =
    LazyLock::new(|| Script::new("return redis.call('HGETALL', ARGV[1] .. 'paid:' .. ARGV[3])"));

/// chain, how many -> blocks that are not final: from one to the next, however many payments each has
pub(super) static UNFINAL_BLOCKS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
    local key, from, blocks = ARGV[1] .. 'unfinal:' .. ARGV[3], '-', {}
    while #blocks < tonumber(ARGV[4]) do
        local name = redis.call('ZRANGEBYLEX', key, from, '+', 'LIMIT', 0, 1)[1]
        if not name then break end
        local block = name:match('^(.*)/')
        blocks[#blocks + 1] = block
        -- What comes behind a slash.
        from = '(' .. block .. '0'
    end
    return blocks",
    )
});

/// chain, block, id to begin behind (or empty), how many -> ids
pub(super) static PAID_IN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
    local key, block = ARGV[1] .. 'unfinal:' .. ARGV[3], ARGV[4]
    local from, to = '(' .. block .. '/' .. ARGV[5], '(' .. block .. '0'
    local names, ids = redis.call('ZRANGEBYLEX', key, from, to, 'LIMIT', 0, ARGV[6]), {}
    for at, name in ipairs(names) do ids[at] = name:sub(#block + 2) end
    return ids",
    )
});

/// chain, block
pub(super) static FINALIZE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
    local key, block = ARGV[1] .. 'unfinal:' .. ARGV[3], ARGV[4]
    return redis.call('ZREMRANGEBYLEX', key, '(' .. block .. '/', '(' .. block .. '0')",
    )
});

/// transaction, and of each payment: id, position, block, old entry (or empty), new entry (or empty)
/// -> 0 (not the old one) | done | taken | remined | missing
pub(super) static FILL_IN: LazyLock<Script> = LazyLock::new(|| {
    with_functions(
        "
    local transaction = ARGV[3]
    local key = ARGV[1] .. 'paid:' .. transaction
    for at = 4, #ARGV, 5 do
        local id, position, block, old = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
        if redis.call('HEXISTS', key, id) == 0 then return 6 end
        local rows = redis.call('HVALS', key)
        for _, row in ipairs(rows) do
            local there = row:match(' (.*)$')
            if there and there ~= block then return 5 end
        end
        if redis.call('HEXISTS', key, position) == 1 then return 4 end
        local entry = redis.call('HGET', ARGV[1] .. 'entry:' .. id, 'entry') or ''
        if entry ~= old then return 0 end
    end
    for at = 4, #ARGV, 5 do
        local id, position, block, new = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 4]
        local due = redis.call('ZSCORE', ARGV[1] .. 'paid', transaction .. '/' .. id)
        pay(transaction, position, id .. ' ' .. block, due or 0)
        if new ~= '' then redis.call('HSET', ARGV[1] .. 'entry:' .. id, 'entry', new) end
        unpay(transaction, id)
    end
    return 1",
    )
});

/// the format before, and of each payment: id, transaction, until -> whether it is of that format still
pub(super) static CONVERT: LazyLock<Script> = LazyLock::new(|| {
    with_functions(
        "
    if redis.call('GET', ARGV[1] .. 'format') ~= ARGV[3] then return 0 end
    for at = 4, #ARGV, 3 do pay(ARGV[at + 1], ARGV[at], '', ARGV[at + 2]) end
    return 1",
    )
});

/// the format before, this format: signs the keys as of this one -> whether they were of the other
pub(super) static SIGN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
    local name = ARGV[1] .. 'format'
    if redis.call('GET', name) ~= ARGV[3] then return 0 end
    redis.call('SET', name, ARGV[4])
    return 1",
    )
});

/// old entry, account, less, more, payer, debt -> 0 (not the old one) | done | too much | damaged
pub(super) static REMOVE: LazyLock<Script> = LazyLock::new(|| {
    with_functions(
        "
    if redis.call('HGET', KEYS[1], 'entry') ~= ARGV[3] then return 0 end
    local amount, why = owed(ARGV[4], ARGV[5], ARGV[6])
    if not amount then return why end
    forget(ARGV[2])
    owe(ARGV[2], ARGV[4], amount, ARGV[7], ARGV[8])
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

/// account, payer -> what is owed, the ids of the debts
pub(super) static OWES: LazyLock<Script> = LazyLock::new(|| {
    with_functions(
        "
    local debts = redis.call('SMEMBERS', ARGV[1] .. 'debts:' .. ARGV[4])
    return {balance(ARGV[1] .. 'owed', ARGV[3]), debts}",
    )
});

/// draw, account, amount, now, payer, whether credit is owed, the payer's debts -> new | known, draw |
/// short, balance | owing | others (there are other debts)
pub(super) static DRAW: LazyLock<Script> = LazyLock::new(|| {
    with_functions(
        "
    local known = redis.call('GET', KEYS[1])
    if known then return {'known', known} end
    local debts = ARGV[1] .. 'debts:' .. ARGV[7]
    if redis.call('SCARD', debts) ~= #ARGV - 8 then return {'others'} end
    for at = 9, #ARGV do
        if redis.call('SISMEMBER', debts, ARGV[at]) == 0 then return {'others'} end
    end
    local before = balance(KEYS[2], ARGV[4])
    if ARGV[8] ~= '' and before ~= zero then return {'owing'} end
    local after = sum(before, ARGV[5], -1)
    if not after then return {'short', before} end
    redis.call('SET', KEYS[1], ARGV[3])
    redis.call('SADD', KEYS[3], ARGV[2])
    keep(KEYS[2], ARGV[4], after)
    local now = math.min(tonumber(ARGV[6]), tonumber(redis.call('TIME')[1]))
    local before = string.format('(%.0f', now)
    for _, over in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', before, 'LIMIT', 0, 16)) do
        redis.call('DEL', ARGV[1] .. 'draw:' .. over)
        redis.call('ZREM', KEYS[4], over)
    end
    return {'new'}",
    )
});

/// old draw, new draw (or empty), account, what goes back, due -> 0 (not the old one) | done | too much
pub(super) static CONCLUDE: LazyLock<Script> = LazyLock::new(|| {
    with_functions(
        "
    if redis.call('GET', KEYS[1]) ~= ARGV[3] then return 0 end
    local amount = sum(balance(KEYS[2], ARGV[5]), ARGV[6], 1)
    if not amount then return 2 end
    if ARGV[4] ~= '' then
        redis.call('SET', KEYS[1], ARGV[4])
        redis.call('ZADD', KEYS[4], ARGV[7], ARGV[2])
    end
    keep(KEYS[2], ARGV[5], amount)
    redis.call('SREM', KEYS[3], ARGV[2])
    if ARGV[4] == '' then redis.call('DEL', KEYS[1]) end
    return 1",
    )
});

/// -> the draws that are held
pub(super) static HELD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
    local draws = {}
    for _, id in ipairs(redis.call('SMEMBERS', KEYS[3])) do
        local draw = redis.call('GET', ARGV[1] .. 'draw:' .. id)
        if draw then draws[#draws + 1] = draw end
    end
    return draws",
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

fn with_functions(script: &str) -> Script {
    Script::new(&format!("{FORGET}{COUNT}{OWE}{PAY}{script}"))
}
