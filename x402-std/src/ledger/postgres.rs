mod convert;
mod credits;
mod identity;
mod logs;
mod names;
mod owed;
mod pool;
mod rows;
mod schema;
mod sums;
mod tls;

use core::fmt;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, IsolationLevel, Transaction};
use x402_core::{Amount, ChainId, Claim, PaymentId};

use super::logs::Paying;
use super::owed::Owing;
use super::{Claiming, Conclusion, CreditAccount, Draw, DrawId, Drawing, Entry, Identifier};
use super::{Ledger, LedgerError, LedgerIdentity, Owed, OwedAccount, Owner, PaidBy, Step};
use crate::BoxFuture;
use crate::chain::{Block, PaidLog, TxHash};
use pool::{Pool, storage};
use rows::{EntryRow, decode, decode_id};
use schema::Prepared;

/// How often a claim looks again whose payment was claimed and released under its eyes.
const ATTEMPTS: usize = 8;

/// Forgets a few payments whose time is over, by the caller's clock and by the server's: one gateway
/// whose clock is ahead must not forget what the others still need. What is open is never over, and neither
/// is what is settled and not served (3, in the second byte of an entry; the versions before gave it a time). With
/// them go leases that ran out: their holders crashed; and logs that are too old to pay for anything.
const SWEEP: &str = "
    WITH old AS (
        SELECT id FROM x402_entries
        WHERE NOT open AND due < LEAST($1, EXTRACT(EPOCH FROM now())::bigint)
            AND get_byte(entry, 1) <> 3
        ORDER BY due LIMIT 16 FOR UPDATE SKIP LOCKED
    ), forgotten AS (
        DELETE FROM x402_entries WHERE id IN (SELECT id FROM old) RETURNING id
    ), abandoned AS (
        SELECT id FROM x402_leases WHERE until < now() - interval '1 hour'
        LIMIT 16 FOR UPDATE SKIP LOCKED
    ), unleased AS (
        DELETE FROM x402_leases WHERE id IN (SELECT id FROM abandoned)
    ), outdated AS (
        SELECT transaction, slot FROM x402_logs
        WHERE until < LEAST($1, EXTRACT(EPOCH FROM now())::bigint)
        ORDER BY until LIMIT 16 FOR UPDATE SKIP LOCKED
    ), unlogged AS (
        DELETE FROM x402_logs USING outdated
        WHERE x402_logs.transaction = outdated.transaction AND x402_logs.slot = outdated.slot
    )
    DELETE FROM x402_identifiers WHERE id IN (SELECT id FROM forgotten)";
const FIND: &str = "SELECT entry FROM x402_entries WHERE id = $1";
const FIND_TO_CHANGE: &str = "SELECT entry FROM x402_entries WHERE id = $1 FOR UPDATE";
const FIND_OPEN: &str = "SELECT entry FROM x402_entries WHERE open";
const FIND_IDS: &str = "SELECT id FROM x402_entries ORDER BY id";
const INSERT: &str = "
    INSERT INTO x402_entries (id, entry, open, due, debtor) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (id) DO NOTHING";
const UPDATE: &str = "
    UPDATE x402_entries SET entry = $2, open = $3, due = $4, debtor = $5 WHERE id = $1";
const DELETE: &str = "DELETE FROM x402_entries WHERE id = $1";
/// Makes the row, or locks the one that is there; either way, says whose it is.
const IDENTIFY: &str = "
    INSERT INTO x402_identifiers (identifier, id) VALUES ($1, $2)
    ON CONFLICT (identifier) DO UPDATE SET identifier = x402_identifiers.identifier
    RETURNING id";
const HAND_OVER: &str = "UPDATE x402_identifiers SET id = $2 WHERE identifier = $1";
const FORGET_IDENTIFIER: &str = "DELETE FROM x402_identifiers WHERE id = $1";
const LEASE: &str = "
    INSERT INTO x402_leases (id, owner, until)
    VALUES ($1, $2, clock_timestamp() + $3 * interval '1 second')
    ON CONFLICT (id) DO UPDATE SET owner = EXCLUDED.owner, until = EXCLUDED.until
    WHERE x402_leases.owner = EXCLUDED.owner OR x402_leases.until < clock_timestamp()";
const RELEASE_LEASE: &str = "DELETE FROM x402_leases WHERE id = $1 AND owner = $2";

/// A ledger in PostgreSQL, which several processes share.
///
/// A change is as safe as the server makes a commit: with `synchronous_commit` and `fsync` on, as they
/// are unless somebody turned them off, it is on the server's disk when the call returns; with
/// `synchronous_commit = remote_apply` and a synchronous standby it is on two. Where they are off, a
/// warning is logged. The tables hold signatures of payments under way and the answers that were
/// given: give the role, and the schema that is first in its `search_path`, to the gateways only. The
/// first to connect makes the tables; afterwards the right to read and write their rows is enough.
///
/// It has a pool of a few connections. One connection to pipeline everything would do one commit after
/// the other, each with a wait for the disk; commits of several connections share the wait. Many would
/// do no better, and would count against the server's `max_connections` with every gateway. A
/// connection that failed, or was in the middle of a call that was given up, is closed, and the next
/// call opens another; the server then undoes what was not committed.
///
/// Every call ends within 5 seconds, with an error if need be; then it is not known whether it took
/// effect. Sessions are changed (`SET statement_timeout`), so a pooler in between has to pool
/// sessions, not transactions.
pub struct PostgresLedger {
    pool: Pool,
}

impl PostgresLedger {
    /// Connects to `postgres://user:password@host:port/database`, and makes the tables where there are
    /// none. Other members of libpq's URLs are taken too, such as `options=-csearch_path%3Dx402`.
    ///
    /// Tables of the format before are converted, in one change and however long it takes, by the first who
    /// may make tables; the others wait for it. Who could write to the old ones can write to the new. A
    /// process of the version before reads nothing of what is written from then on: stop it first.
    ///
    /// To another machine than this one everything goes by TLS, with the certificate checked as by
    /// `sslmode=verify-full`: by the authorities in the file `sslrootcert` or else by those of the
    /// web. On this machine there is TLS where `sslmode` is `require` or more.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Storage`] where the URL is malformed, the server cannot be reached or does not
    /// let us in, or the tables are of another version. No error holds the URL or its password.
    pub async fn connect(url: &str) -> Result<Self, LedgerError> {
        let pool = Pool::new(url)?;
        let prepare = || {
            pool.call(async {
                let mut turn = pool.take().await?;
                let result = schema::prepare(turn.client()).await;
                turn.end(result)
            })
        };
        if prepare().await? == Prepared::IsOld {
            let convert = async {
                let mut turn = pool.take().await?;
                let result = convert::convert(turn.client()).await;
                turn.end(result)
            };
            pool.call_at_leisure(convert).await?;
            prepare().await?;
        }
        Ok(Self { pool })
    }
}

impl fmt::Debug for PostgresLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresLedger").finish_non_exhaustive()
    }
}

impl Ledger for PostgresLedger {
    fn claim(&self, entry: Entry) -> BoxFuture<'_, Result<Claiming, LedgerError>> {
        Box::pin(self.pool.call(async move {
            let mut turn = self.pool.take().await?;
            let result = claim(turn.client(), &entry).await;
            turn.end(result)
        }))
    }

    fn apply(&self, id: PaymentId, step: Step) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(self.pool.call(async move {
            let mut turn = self.pool.take().await?;
            let result = apply(turn.client(), &id.to_bytes(), step).await;
            turn.end(result)
        }))
    }

    fn find(&self, id: PaymentId) -> BoxFuture<'_, Result<Option<Entry>, LedgerError>> {
        Box::pin(self.pool.call(async move {
            let mut turn = self.pool.take().await?;
            let result = find(turn.client(), &id.to_bytes()).await;
            turn.end(result)
        }))
    }

    fn owes(&self, account: OwedAccount) -> BoxFuture<'_, Result<Owed, LedgerError>> {
        Box::pin(self.pool.call(async move {
            let mut turn = self.pool.take().await?;
            let result = owed::owes(turn.client(), &account).await;
            turn.end(result)
        }))
    }

    fn ids(&self) -> BoxFuture<'_, Result<Vec<PaymentId>, LedgerError>> {
        Box::pin(self.pool.call(async move {
            let mut turn = self.pool.take().await?;
            let rows = turn.client().query_typed(FIND_IDS, &[]).await.map_err(storage);
            turn.end(rows.and_then(|rows| rows.iter().map(decode_id).collect()))
        }))
    }

    fn paid_by(
        &self,
        chain_id: ChainId,
        transaction: TxHash,
    ) -> BoxFuture<'_, Result<PaidBy, LedgerError>> {
        Box::pin(self.pool.call(async move {
            let mut turn = self.pool.take().await?;
            let result = logs::paid_by(turn.client(), chain_id, transaction).await;
            turn.end(result)
        }))
    }

    fn fill_in_logs(
        &self,
        chain_id: ChainId,
        transaction: TxHash,
        logs: Vec<(PaymentId, PaidLog)>,
    ) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(self.pool.call(async move {
            let mut turn = self.pool.take().await?;
            let result = logs::fill_in(turn.client(), chain_id, transaction, &logs).await;
            turn.end(result)
        }))
    }

    fn unfinal_blocks(
        &self,
        chain_id: ChainId,
        most: usize,
    ) -> BoxFuture<'_, Result<Vec<Block>, LedgerError>> {
        Box::pin(self.pool.call(async move {
            let mut turn = self.pool.take().await?;
            let result = logs::unfinal_blocks(turn.client(), chain_id, most).await;
            turn.end(result)
        }))
    }

    fn paid_in(
        &self,
        chain_id: ChainId,
        block: Block,
        after: Option<PaymentId>,
        most: usize,
    ) -> BoxFuture<'_, Result<Vec<PaymentId>, LedgerError>> {
        Box::pin(self.pool.call(async move {
            let mut turn = self.pool.take().await?;
            let result = logs::paid_in(turn.client(), chain_id, block, after, most).await;
            turn.end(result)
        }))
    }

    fn finalize(&self, chain_id: ChainId, block: Block) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(self.pool.call(async move {
            let mut turn = self.pool.take().await?;
            let result = logs::finalize(turn.client(), chain_id, block).await;
            turn.end(result)
        }))
    }

    fn open_entries(&self) -> BoxFuture<'_, Result<Vec<Entry>, LedgerError>> {
        Box::pin(self.pool.call(async move {
            let mut turn = self.pool.take().await?;
            let rows = turn.client().query_typed(FIND_OPEN, &[]).await.map_err(storage);
            turn.end(rows.and_then(|rows| rows.iter().map(decode).collect()))
        }))
    }

    fn balance(&self, account: CreditAccount) -> BoxFuture<'_, Result<Amount, LedgerError>> {
        Box::pin(self.pool.call(async move {
            let mut turn = self.pool.take().await?;
            let result = credits::balance(turn.client(), &account).await;
            turn.end(result)
        }))
    }

    fn balances(&self) -> BoxFuture<'_, Result<Vec<(CreditAccount, Amount)>, LedgerError>> {
        Box::pin(self.pool.call(async move {
            let mut turn = self.pool.take().await?;
            let result = credits::balances(turn.client()).await;
            turn.end(result)
        }))
    }

    fn draw(&self, draw: Draw) -> BoxFuture<'_, Result<Drawing, LedgerError>> {
        Box::pin(self.pool.call(async move {
            let mut turn = self.pool.take().await?;
            let result = credits::draw(turn.client(), &draw).await;
            turn.end(result)
        }))
    }

    fn conclude(
        &self,
        id: DrawId,
        conclusion: Conclusion,
    ) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(self.pool.call(async move {
            let mut turn = self.pool.take().await?;
            let result = credits::conclude(turn.client(), id, conclusion).await;
            turn.end(result)
        }))
    }

    fn find_draw(&self, id: DrawId) -> BoxFuture<'_, Result<Option<Draw>, LedgerError>> {
        Box::pin(self.pool.call(async move {
            let mut turn = self.pool.take().await?;
            let result = credits::find(turn.client(), id).await;
            turn.end(result)
        }))
    }

    fn held_draws(&self) -> BoxFuture<'_, Result<Vec<Draw>, LedgerError>> {
        Box::pin(self.pool.call(async move {
            let mut turn = self.pool.take().await?;
            let result = credits::held(turn.client()).await;
            turn.end(result)
        }))
    }

    fn identity(&self) -> BoxFuture<'_, Result<LedgerIdentity, LedgerError>> {
        Box::pin(self.pool.call(async move {
            let mut turn = self.pool.take().await?;
            let result = identity::identity(turn.client()).await;
            turn.end(result)
        }))
    }

    fn lease(
        &self,
        id: PaymentId,
        owner: Owner,
        seconds: u32,
    ) -> BoxFuture<'_, Result<bool, LedgerError>> {
        Box::pin(self.pool.call(async move {
            let (key, owner, seconds) = (id.to_bytes(), owner.0, i64::from(seconds));
            let (key, owner) = (&key[..], &owner[..]);
            let values =
                [(&key as _, Type::BYTEA), (&owner as _, Type::BYTEA), (&seconds as _, Type::INT8)];
            let mut turn = self.pool.take().await?;
            let rows = turn.client().execute_typed(LEASE, &values).await;
            turn.end(rows.map(|rows| rows == 1).map_err(storage))
        }))
    }

    fn release_lease(&self, id: PaymentId, owner: Owner) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(self.pool.call(async move {
            let (key, owner) = (id.to_bytes(), owner.0);
            let (key, owner) = (&key[..], &owner[..]);
            let values = [(&key as _, Type::BYTEA), (&owner as _, Type::BYTEA)];
            let mut turn = self.pool.take().await?;
            let rows = turn.client().execute_typed(RELEASE_LEASE, &values).await;
            turn.end(rows.map(drop).map_err(storage))
        }))
    }
}

async fn find(client: &Client, key: &[u8]) -> Result<Option<Entry>, LedgerError> {
    let row = client.query_typed_opt(FIND, &[(&key, Type::BYTEA)]).await.map_err(storage)?;
    row.as_ref().map(decode).transpose()
}

async fn claim(client: &mut Client, entry: &Entry) -> Result<Claiming, LedgerError> {
    let key = entry.id().to_bytes();
    let now = to_column(entry.claimed_at);
    for attempt in 0..ATTEMPTS {
        // A repetition is answered without a transaction.
        if let Some(entry) = find(client, &key).await? {
            return Ok(Claiming::Known(Box::new(entry)));
        }
        if attempt == 0 {
            // By itself: whoever holds old rows and waits for a claim must not hold up that claim.
            client.execute_typed(SWEEP, &[(&now, Type::INT8)]).await.map_err(storage)?;
        }
        if let Some(claiming) = insert(client, &key, entry).await? {
            return Ok(claiming);
        }
    }
    Err(LedgerError::Storage("the payment is claimed and released all the time".into()))
}

/// Records the payment; `None` where another has done so since we looked.
async fn insert(
    client: &mut Client,
    key: &[u8],
    entry: &Entry,
) -> Result<Option<Claiming>, LedgerError> {
    let row = EntryRow::of(entry);
    let values = row.values(&key);
    // Dropped without a commit, a transaction leaves nothing behind.
    let transaction = begin(client).await?;
    if transaction.execute_typed(INSERT, &values).await.map_err(storage)? == 0 {
        return Ok(None);
    }
    if let Some(identifier) = entry.identifier
        && !identify(&transaction, key, identifier).await?
    {
        return Ok(Some(Claiming::Taken));
    }
    owed::change(&transaction, &Owing::claimed(entry)).await?;
    transaction.commit().await.map_err(storage)?;
    Ok(Some(Claiming::New(Claim::recorded(entry.id()))))
}

/// Gives the identifier to this payment; `false` where another has it, and has not failed.
///
/// The other's entry is read and not locked: its own changes may be waiting for the identifier's row,
/// which is ours now.
async fn identify(
    transaction: &Transaction<'_>,
    key: &[u8],
    identifier: Identifier,
) -> Result<bool, LedgerError> {
    let identifier = &identifier.0[..];
    let values = [(&identifier as _, Type::BYTEA), (&key as _, Type::BYTEA)];
    let row = transaction.query_typed_one(IDENTIFY, &values).await.map_err(storage)?;
    let holder: &[u8] = row.try_get(0).map_err(storage)?;
    if holder == key {
        return Ok(true);
    }
    let holder = transaction.query_typed_opt(FIND, &[(&holder, Type::BYTEA)]).await;
    let holder = holder.map_err(storage)?.as_ref().map(decode).transpose()?;
    if holder.is_some_and(|holder| !holder.frees_identifier()) {
        return Ok(false);
    }
    transaction.execute_typed(HAND_OVER, &values).await.map_err(storage)?;
    Ok(true)
}

async fn apply(client: &mut Client, key: &[u8], step: Step) -> Result<(), LedgerError> {
    let transaction = begin(client).await?;
    let row = transaction.query_typed_opt(FIND_TO_CHANGE, &[(&key, Type::BYTEA)]).await;
    let row = row.map_err(storage)?.ok_or(LedgerError::Missing)?;
    let before = decode(&row)?;
    let withdrawn = before.withdraws(&step);
    let after = before.clone().after(step)?;
    if let (Some(withdrawn), Some(entry)) = (withdrawn, &after) {
        take_out(&transaction, key, &before, entry, withdrawn).await?;
        return transaction.commit().await.map_err(storage);
    }
    match &after {
        Some(entry) => write(&transaction, key, &before, entry).await?,
        None => {
            for statement in [DELETE, FORGET_IDENTIFIER] {
                let deleted = transaction.execute_typed(statement, &[(&key, Type::BYTEA)]).await;
                deleted.map_err(storage)?;
            }
        }
    }
    owed::change(&transaction, &Owing::stepped(&before, after.as_ref())).await?;
    let earned = after.as_ref().and_then(|after| after.earned_since(&before));
    if let Some((account, credit)) = earned {
        credits::add(&transaction, &account, credit).await?;
    }
    transaction.commit().await.map_err(storage)
}

/// Writes an entry in the place of another, and with it which log has paid, or has not.
async fn write(
    transaction: &Transaction<'_>,
    key: &[u8],
    before: &Entry,
    after: &Entry,
) -> Result<(), LedgerError> {
    let row = EntryRow::of(after);
    match Paying::stepped(before, Some(after)) {
        Paying::Same => {
            let done = transaction.execute_typed(UPDATE, &row.values(&key)).await;
            done.map(drop).map_err(storage)
        }
        Paying::Gains(log) => logs::update_and_pay(transaction, key, &row, &log).await,
        Paying::Loses(log) => logs::update_and_give_back(transaction, key, &row, &log).await,
    }
}

/// Writes an entry with which something goes out of a balance, as far as it is there; the rest is owed. What
/// is owed is locked before the balance, as everywhere.
async fn take_out(
    transaction: &Transaction<'_>,
    key: &[u8],
    before: &Entry,
    after: &Entry,
    (account, most): (CreditAccount, Amount),
) -> Result<(), LedgerError> {
    let owed = owed::lock(transaction, &OwedAccount::of(&before.payment)).await?;
    let balance = credits::lock(transaction, &account).await?;
    let (taken, mut after) = (most.min(balance), after.clone());
    after.withdrawn(taken);
    write(transaction, key, before, &after).await?;
    let owing = Owing::stepped(before, Some(&after));
    owed::set(transaction, &owing, owing.sum_after(owed)?).await?;
    let rest = balance.checked_sub(taken).ok_or(LedgerError::Amount)?;
    credits::set(transaction, &account, rest).await
}

/// What is written here counts on locks on rows, whatever the server's own default is.
async fn begin(client: &mut Client) -> Result<Transaction<'_>, LedgerError> {
    let builder = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted);
    builder.start().await.map_err(storage)
}

/// Unix seconds as a column has them; what is later than all time is the end of it.
fn to_column(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
