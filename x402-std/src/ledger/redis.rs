mod check;
mod convert;
mod credits;
mod logs;
mod names;
mod owed;
mod scripts;
mod server;

use core::fmt;

use ::redis::Script;
use x402_core::hex::Hex;
use x402_core::{Amount, ChainId, Claim, PaymentId};

use super::logs::Paying;
use super::owed::Owing;
use super::remote::failed;
use super::{
    Claiming, Conclusion, CreditAccount, Draw, DrawId, Drawing, Entry, Ledger, LedgerError,
    LedgerIdentity,
};
use super::{Owed, OwedAccount, Owner, PaidBy, Step, encoding};
use crate::BoxFuture;
use crate::chain::{Block, PaidLog, TxHash};
use server::Server;

/// How often a step is tried that others keep forestalling. Each time one of them has taken a step, and
/// a payment has but a few.
const ATTEMPTS: usize = 16;

/// A ledger in Redis, which several processes share. It needs Redis 5 or a server that does the same.
///
/// Redis forgets in a crash what it has not written: the server must run with `appendonly yes` and
/// `appendfsync always`, and must never evict (`maxmemory-policy noeviction`). Whether it does is looked
/// up at [`Self::connect`], as far as the server lets us: where `CONFIG` is forbidden, a warning is
/// logged. A replica gets what is written only afterwards: after a failover to one, payments may be
/// missing that were recorded. The token takes each authorization once even then; what was paid and not
/// served may be lost. A cluster of several shards is not supported.
///
/// Its keys begin with a prefix, and hold signatures of payments under way and the answers that were
/// given. Entries have no time to live: what is open is never forgotten, and what is over goes, a few
/// at each claim, once it is old.
///
/// There is one connection, over which all calls are pipelined: the server does one thing after the
/// other anyway, each script as a whole, and writes to the disk once for all that came meanwhile. When
/// it fails, the next call opens another. Every call ends within 5 seconds, with an error if need be;
/// then it is not known whether it took effect.
pub struct RedisLedger {
    server: Server,
}

impl RedisLedger {
    /// Connects to `redis://user:password@host:port/database`, or by TLS to `rediss://…`, which is for
    /// every host but this machine. Members of the query: `prefix`, what all keys begin with (`x402:`),
    /// and `sslrootcert`, a file with the authorities that the server's certificate is checked by,
    /// instead of those of the web.
    ///
    /// Keys of the format before are converted, however long it takes; who is stopped in the middle is gone
    /// on from by the next. A process of the version before reads nothing of what is written from then on:
    /// stop it first.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Storage`] where the URL is malformed, the server cannot be reached or does not let
    /// us in, would forget payments, or holds a ledger of another version. No error holds the URL or its
    /// password.
    pub async fn connect(url: &str) -> Result<Self, LedgerError> {
        let server = Server::new(url)?;
        let is_old = server.call(check::check(&server)).await?;
        let ledger = Self { server };
        if is_old {
            ledger.convert().await?;
        }
        Ok(ledger)
    }

    /// Runs a script on an entry: its key, what is open and what is over, and then the arguments.
    async fn run<T: ::redis::FromRedisValue>(
        &self,
        script: &Script,
        id: &str,
        arguments: &[&[u8]],
    ) -> Result<T, LedgerError> {
        let mut call = script.prepare_invoke();
        call.key(self.server.key("entry:", id));
        call.key(self.server.key("open", "")).key(self.server.key("due", ""));
        call.arg(self.server.key("", "")).arg(id);
        for argument in arguments {
            call.arg(*argument);
        }
        let mut line = self.server.line().await?;
        let result = call.invoke_async(line.connection()).await;
        line.end(result)
    }

    async fn read(&self, id: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        let mut command = ::redis::cmd("HGET");
        command.arg(self.server.key("entry:", id)).arg("entry");
        let mut line = self.server.line().await?;
        let result = command.query_async(line.connection()).await;
        line.end(result)
    }

    /// Reads several entries, in one trip.
    async fn read_each(&self, ids: &[PaymentId]) -> Result<Vec<Option<Vec<u8>>>, LedgerError> {
        let mut pipe = ::redis::pipe();
        for id in ids {
            pipe.hget(self.server.key("entry:", &key_of(*id)), "entry");
        }
        let mut line = self.server.line().await?;
        let result = pipe.query_async(line.connection()).await;
        line.end(result)
    }

    /// The ids, as the names of the entries' keys have them.
    async fn ids_now(&self) -> Result<Vec<PaymentId>, LedgerError> {
        let (mut ids, mut cursor) = (Vec::new(), 0);
        loop {
            let (next, some) = self.some_ids(cursor).await?;
            ids.extend(some);
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        // A key may be told twice.
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// Some of them, from a cursor on, and the next cursor, which is 0 at the end.
    async fn some_ids(&self, cursor: u64) -> Result<(u64, Vec<PaymentId>), LedgerError> {
        let prefix = self.server.key("entry:", "");
        let special = |c: char| matches!(c, '*' | '?' | '[' | ']' | '^' | '\\');
        let escape = |c: char| if special(c) { format!("\\{c}") } else { c.to_string() };
        let pattern = format!("{}*", prefix.chars().map(escape).collect::<String>());
        let mut command = ::redis::cmd("SCAN");
        command.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(1_000);
        let mut line = self.server.line().await?;
        let result = command.query_async(line.connection()).await;
        let (next, keys): (u64, Vec<String>) = line.end(result)?;
        let mut ids = Vec::with_capacity(keys.len());
        for key in keys {
            let id = key.strip_prefix(&prefix).and_then(|id| ::x402_core::hex::decode(id).ok());
            ids.push(PaymentId::from_bytes(&id.ok_or(LedgerError::Corrupt)?));
        }
        Ok((next, ids))
    }

    /// The first who asks makes it; of several, all are told the same.
    async fn identity_now(&self) -> Result<LedgerIdentity, LedgerError> {
        let (key, new) = (self.server.key("identity", ""), LedgerIdentity::random()?);
        let mut pipe = ::redis::pipe();
        pipe.cmd("SETNX").arg(&key).arg(&new.0[..]).ignore();
        pipe.cmd("GET").arg(&key);
        let mut line = self.server.line().await?;
        let result = pipe.query_async(line.connection()).await;
        let (bytes,): (Vec<u8>,) = line.end(result)?;
        LedgerIdentity::read(&bytes)
    }

    async fn claim_now(&self, entry: &Entry) -> Result<Claiming, LedgerError> {
        let identifier = entry.identifier.map(|identifier| hex(&identifier.0)).unwrap_or_default();
        let now = to_score(entry.claimed_at);
        let bytes = encoding::encode(entry);
        let owing = owed::arguments(&Owing::claimed(entry));
        let own = [&bytes[..], stage(entry).as_bytes(), identifier.as_bytes(), now.as_bytes()];
        let arguments = [&own[..], &owing.each_ref().map(String::as_bytes)].concat();
        let answer: Vec<Vec<u8>> =
            self.run(&scripts::CLAIM, &key_of(entry.id()), &arguments).await?;
        match answer.iter().map(Vec::as_slice).collect::<Vec<_>>()[..] {
            [b"new"] => Ok(Claiming::New(Claim::recorded(entry.id()))),
            [b"taken"] => Ok(Claiming::Taken),
            [b"too much"] => Err(LedgerError::Overflow),
            [b"known", entry] => Ok(Claiming::Known(Box::new(encoding::decode(entry)?))),
            _ => Err(failed("Redis answered a claim with something else")),
        }
    }

    /// Reads the entry, has it take the step here, and writes it back if it still is as it was read.
    async fn apply_now(&self, id: PaymentId, step: &Step) -> Result<(), LedgerError> {
        let id = key_of(id);
        for _ in 0..ATTEMPTS {
            let old = self.read(&id).await?.ok_or(LedgerError::Missing)?;
            let before = encoding::decode(&old)?;
            let withdrawn = before.withdraws(step);
            let mut after = before.clone().after(step.clone())?;
            let mut taken = None;
            if let (Some((account, most)), Some(entry)) = (withdrawn, &mut after) {
                let balance = credits::balance(&self.server, &account).await?;
                let amount = most.min(balance);
                entry.withdrawn(amount);
                taken = Some(Taken { account, balance, amount });
            }
            let owing = owed::arguments(&Owing::stepped(&before, after.as_ref()));
            let owing = owing.each_ref().map(String::as_bytes);
            let done = match &after {
                Some(entry) => {
                    let moved = Moved::of(&before, entry, taken);
                    self.swap(&id, &old, &before, entry, &moved, &owing).await?
                }
                None => {
                    self.run(&scripts::REMOVE, &id, &[&[&old[..]], &owing[..]].concat()).await?
                }
            };
            if logs::judged(done)? {
                return Ok(());
            }
        }
        Err(failed("others keep changing the payment"))
    }
}

/// What a step takes out of a balance, and what was found there.
struct Taken {
    account: CreditAccount,
    balance: Amount,
    amount: Amount,
}

/// What a step puts into a balance, and what it takes out.
#[derive(Default)]
struct Moved {
    account: String,
    earned: String,
    withdrawn: String,
    /// The balance that was found, where it is taken out whole.
    of: String,
}

impl Moved {
    fn of(before: &Entry, after: &Entry, taken: Option<Taken>) -> Self {
        let digits = credits::digits;
        if let Some(Taken { account, balance, amount }) = taken {
            let of = if amount == balance { digits(balance) } else { String::new() };
            let account = hex(&account.to_bytes());
            let (earned, withdrawn) = (digits(Amount::ZERO), digits(amount));
            return Self { account, earned, withdrawn, of };
        }
        let Some((account, credit)) = after.earned_since(before) else { return Self::default() };
        let (account, earned) = (hex(&account.to_bytes()), digits(credit));
        Self { account, earned, withdrawn: digits(Amount::ZERO), of: String::new() }
    }

    fn arguments(&self) -> [&[u8]; 4] {
        [&self.account, &self.earned, &self.withdrawn, &self.of].map(|text| text.as_bytes())
    }
}

impl RedisLedger {
    /// Puts an entry in the place of an old one, and with it what it has earned into its balance, or out of
    /// it again, and which log has paid; what is owed changes as the arguments say.
    async fn swap(
        &self,
        id: &str,
        old: &[u8],
        before: &Entry,
        entry: &Entry,
        moved: &Moved,
        owing: &[&[u8]],
    ) -> Result<u8, LedgerError> {
        let (new, due) = (encoding::encode(entry), to_score(entry.due()));
        let paying = logs::arguments(&Paying::stepped(before, Some(entry)));
        let paying = paying.each_ref().map(String::as_bytes);
        let own = [old, &new, stage(entry).as_bytes(), due.as_bytes()];
        let arguments = [&own[..], &moved.arguments(), owing, &paying].concat();
        self.run(&scripts::SWAP, id, &arguments).await
    }
}

impl fmt::Debug for RedisLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLedger").finish_non_exhaustive()
    }
}

impl Ledger for RedisLedger {
    fn claim(&self, entry: Entry) -> BoxFuture<'_, Result<Claiming, LedgerError>> {
        Box::pin(self.server.call(async move { self.claim_now(&entry).await }))
    }

    fn apply(&self, id: PaymentId, step: Step) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(self.server.call(async move { self.apply_now(id, &step).await }))
    }

    fn find(&self, id: PaymentId) -> BoxFuture<'_, Result<Option<Entry>, LedgerError>> {
        Box::pin(self.server.call(async move {
            let entry = self.read(&key_of(id)).await?;
            entry.map(|entry| encoding::decode(&entry)).transpose()
        }))
    }

    fn owes(&self, account: OwedAccount) -> BoxFuture<'_, Result<Owed, LedgerError>> {
        Box::pin(self.server.call(async move {
            let [key, payer] = [&account.to_bytes()[..], account.payer.as_bytes()].map(hex);
            let arguments = [key.as_bytes(), payer.as_bytes()];
            owed::read(self.run(&scripts::OWES, "", &arguments).await?)
        }))
    }

    fn ids(&self) -> BoxFuture<'_, Result<Vec<PaymentId>, LedgerError>> {
        Box::pin(self.server.call(self.ids_now()))
    }

    fn paid_by(
        &self,
        chain_id: ChainId,
        transaction: TxHash,
    ) -> BoxFuture<'_, Result<PaidBy, LedgerError>> {
        Box::pin(self.server.call(self.paid_by_now(chain_id, transaction)))
    }

    fn fill_in_logs(
        &self,
        chain_id: ChainId,
        transaction: TxHash,
        logs: Vec<(PaymentId, PaidLog)>,
    ) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(
            self.server.call(async move { self.fill_in_now(chain_id, transaction, &logs).await }),
        )
    }

    fn unfinal_blocks(
        &self,
        chain_id: ChainId,
        most: usize,
    ) -> BoxFuture<'_, Result<Vec<Block>, LedgerError>> {
        Box::pin(self.server.call(self.unfinal_blocks_now(chain_id, most)))
    }

    fn paid_in(
        &self,
        chain_id: ChainId,
        block: Block,
        after: Option<PaymentId>,
        most: usize,
    ) -> BoxFuture<'_, Result<Vec<PaymentId>, LedgerError>> {
        Box::pin(self.server.call(self.paid_in_now(chain_id, block, after, most)))
    }

    fn finalize(&self, chain_id: ChainId, block: Block) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(self.server.call(self.finalize_now(chain_id, block)))
    }

    fn open_entries(&self) -> BoxFuture<'_, Result<Vec<Entry>, LedgerError>> {
        Box::pin(self.server.call(async move {
            let entries: Vec<Vec<u8>> = self.run(&scripts::OPEN, "", &[]).await?;
            entries.iter().map(|entry| encoding::decode(entry)).collect()
        }))
    }

    fn balance(&self, account: CreditAccount) -> BoxFuture<'_, Result<Amount, LedgerError>> {
        Box::pin(self.server.call(async move { credits::balance(&self.server, &account).await }))
    }

    fn balances(&self) -> BoxFuture<'_, Result<Vec<(CreditAccount, Amount)>, LedgerError>> {
        Box::pin(self.server.call(credits::balances(&self.server)))
    }

    fn draw(&self, draw: Draw) -> BoxFuture<'_, Result<Drawing, LedgerError>> {
        Box::pin(self.server.call(async move { self.draw_now(&draw).await }))
    }

    fn conclude(
        &self,
        id: DrawId,
        conclusion: Conclusion,
    ) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(
            self.server.call(async move { credits::conclude(&self.server, id, &conclusion).await }),
        )
    }

    fn find_draw(&self, id: DrawId) -> BoxFuture<'_, Result<Option<Draw>, LedgerError>> {
        Box::pin(self.server.call(credits::find(&self.server, id)))
    }

    fn held_draws(&self) -> BoxFuture<'_, Result<Vec<Draw>, LedgerError>> {
        Box::pin(self.server.call(credits::held(&self.server)))
    }

    fn identity(&self) -> BoxFuture<'_, Result<LedgerIdentity, LedgerError>> {
        Box::pin(self.server.call(self.identity_now()))
    }

    fn lease(
        &self,
        id: PaymentId,
        owner: Owner,
        seconds: u32,
    ) -> BoxFuture<'_, Result<bool, LedgerError>> {
        Box::pin(self.server.call(async move {
            let milliseconds = (u64::from(seconds) * 1000).to_string();
            let arguments = [&owner.0[..], milliseconds.as_bytes()];
            self.run(&scripts::LEASE, &key_of(id), &arguments).await
        }))
    }

    fn release_lease(&self, id: PaymentId, owner: Owner) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(self.server.call(async move {
            self.run::<bool>(&scripts::RELEASE_LEASE, &key_of(id), &[&owner.0]).await.map(drop)
        }))
    }
}

fn key_of(id: PaymentId) -> String {
    hex(&id.to_bytes())
}

fn hex(bytes: &[u8]) -> String {
    Hex(bytes).to_string()
}

/// What the scripts have to know of a state.
fn stage(entry: &Entry) -> &'static str {
    match entry {
        entry if entry.is_open() => "open",
        entry if entry.frees_identifier() => "failed",
        _ => "over",
    }
}

/// Unix seconds as the server can count them: a double is exact up to here, which is never.
fn to_score(seconds: u64) -> String {
    seconds.min(1 << 53).to_string()
}
