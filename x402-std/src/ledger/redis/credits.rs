//! Balances and draws.

use ::redis::{FromRedisValue, Script, cmd};
use x402_core::hex::decode;
use x402_core::{Amount, PaymentId};

use super::server::Server;
use super::{ATTEMPTS, RedisLedger, hex, key_of, scripts, to_score};
use crate::ledger::remote::failed;
use crate::ledger::{Conclusion, CreditAccount, Draw, DrawId, Drawing, LedgerError, encoding};

pub(super) async fn balance(
    server: &Server,
    account: &CreditAccount,
) -> Result<Amount, LedgerError> {
    let mut command = cmd("HGET");
    command.arg(server.key("balances", "")).arg(hex(&account.to_bytes()));
    let mut line = server.line().await?;
    let result = command.query_async(line.connection()).await;
    let balance: Option<String> = line.end(result)?;
    balance.map_or(Ok(Amount::ZERO), |balance| amount(&balance))
}

pub(super) async fn balances(server: &Server) -> Result<Vec<(CreditAccount, Amount)>, LedgerError> {
    let mut command = cmd("HGETALL");
    command.arg(server.key("balances", ""));
    let mut line = server.line().await?;
    let result = command.query_async(line.connection()).await;
    let rows: Vec<(String, String)> = line.end(result)?;
    let rows = rows.iter().map(|(account, balance)| {
        let account = decode(account).map_err(|_| LedgerError::Corrupt)?;
        Ok((CreditAccount::from_bytes(&account), amount(balance)?))
    });
    let mut balances = rows.collect::<Result<Vec<_>, LedgerError>>()?;
    balances.sort_unstable();
    Ok(balances)
}

/// As the scripts count: 0x and 64 digits.
pub(super) fn digits(amount: Amount) -> String {
    hex(&amount.to_be_bytes())
}

pub(super) fn amount(digits: &str) -> Result<Amount, LedgerError> {
    decode(digits).map(Amount::from_be_bytes).map_err(|_| LedgerError::Corrupt)
}

/// Runs a script on a draw: its key, the balances, what is held and what is done; then the arguments.
async fn run<T: FromRedisValue>(
    server: &Server,
    script: &Script,
    id: &str,
    arguments: &[&[u8]],
) -> Result<T, LedgerError> {
    let mut call = script.prepare_invoke();
    call.key(server.key("draw:", id)).key(server.key("balances", ""));
    call.key(server.key("held", "")).key(server.key("done", ""));
    call.arg(server.key("", "")).arg(id);
    for argument in arguments {
        call.arg(*argument);
    }
    let mut line = server.line().await?;
    let result = call.invoke_async(line.connection()).await;
    line.end(result)
}

async fn read(server: &Server, id: &str) -> Result<Option<Vec<u8>>, LedgerError> {
    let mut command = cmd("GET");
    command.arg(server.key("draw:", id));
    let mut line = server.line().await?;
    let result = command.query_async(line.connection()).await;
    line.end(result)
}

pub(super) async fn find(server: &Server, id: DrawId) -> Result<Option<Draw>, LedgerError> {
    let draw = read(server, &hex(&id.0)).await?;
    draw.map(|draw| encoding::decode_draw(&draw)).transpose()
}

pub(super) async fn held(server: &Server) -> Result<Vec<Draw>, LedgerError> {
    let draws: Vec<Vec<u8>> = run(server, &scripts::HELD, "", &[]).await?;
    let draws = draws.iter().map(|draw| encoding::decode_draw(draw));
    let mut draws = draws.collect::<Result<Vec<_>, _>>()?;
    draws.sort_unstable_by_key(|draw| draw.id);
    Ok(draws)
}

impl RedisLedger {
    /// Draws if the payer's debts are those that were looked at; at first none, for most have none.
    pub(super) async fn draw_now(&self, draw: &Draw) -> Result<Drawing, LedgerError> {
        let (mut debts, mut due) = (Vec::new(), Vec::new());
        for _ in 0..ATTEMPTS {
            if let Some(drawing) = self.draw_beside(draw, &debts, due).await? {
                return Ok(drawing);
            }
            debts = self.debts_of(draw.account.payer).await?;
            due = self.due_from(&debts, &draw.account).await?;
        }
        Err(failed("others keep changing what the payer owes"))
    }

    /// `None` where the payer has other debts than these.
    async fn draw_beside(
        &self,
        draw: &Draw,
        debts: &[PaymentId],
        due: Vec<PaymentId>,
    ) -> Result<Option<Drawing>, LedgerError> {
        let account = hex(&draw.account.to_bytes());
        let (bytes, wanted) = (encoding::encode_draw(draw), digits(draw.amount));
        let (now, payer) = (to_score(draw.drawn_at), hex(draw.account.payer.as_bytes()));
        let owing = if due.is_empty() { "" } else { "owing" };
        let debts: Vec<_> = debts.iter().map(|id| key_of(*id)).collect();
        let texts = [&account, &wanted, &now, &payer, owing].map(str::as_bytes);
        let debts = debts.iter().map(String::as_bytes);
        let arguments: Vec<_> = [&bytes[..]].into_iter().chain(texts).chain(debts).collect();
        let id = hex(&draw.id.0);
        let answer: Vec<Vec<u8>> = run(&self.server, &scripts::DRAW, &id, &arguments).await?;
        match answer.iter().map(Vec::as_slice).collect::<Vec<_>>()[..] {
            [b"new"] => Ok(Some(Drawing::New)),
            [b"known", draw] => Ok(Some(Drawing::Known(Box::new(encoding::decode_draw(draw)?)))),
            [b"short", balance] => {
                let balance = core::str::from_utf8(balance).map_err(|_| LedgerError::Corrupt)?;
                Ok(Some(Drawing::Short(amount(balance)?)))
            }
            [b"owing"] => Ok(Some(Drawing::Owing(due))),
            [b"others"] => Ok(None),
            _ => Err(failed("Redis answered a draw with something else")),
        }
    }
}

/// Reads the draw, concludes it here, and writes it back if it still is as it was read.
pub(super) async fn conclude(
    server: &Server,
    id: DrawId,
    conclusion: &Conclusion,
) -> Result<(), LedgerError> {
    let id = hex(&id.0);
    for _ in 0..ATTEMPTS {
        let old = read(server, &id).await?.ok_or(LedgerError::Missing)?;
        let draw = encoding::decode_draw(&old)?;
        let (account, due) = (hex(&draw.account.to_bytes()), to_score(draw.keep_until()));
        let (draw, rest) = draw.after(conclusion.clone())?;
        let (new, rest) = (draw.as_ref().map(encoding::encode_draw), digits(rest));
        let new = new.unwrap_or_default();
        let arguments = [&old[..], &new, account.as_bytes(), rest.as_bytes(), due.as_bytes()];
        match run(server, &scripts::CONCLUDE, &id, &arguments).await? {
            scripts::DONE => return Ok(()),
            scripts::TOO_MUCH => return Err(LedgerError::Overflow),
            _ => {}
        }
    }
    Err(failed("others keep changing the draw"))
}
