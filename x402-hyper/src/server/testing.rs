//! A shop for tests: a seller over a chain that does as it is told, and a buyer's signatures.

use core::time::Duration;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use http::request::Builder;
use x402_core::buyer::{Policy, Unsigned};
use x402_core::headers::SignatureForm;
use x402_core::secp256k1::K256Signer;
use x402_core::settlement::{self, AUTHORIZATION_USED_TOPIC, Log, Submitter, TRANSFER_TOPIC};
use x402_core::{Address, Amount, Asset, ChainId, Claimed, Error, Nonce, Offer, PaymentId};
use x402_core::{LogOrder, Price, Settled};
use x402_core::{Signer as _, Timestamp, hex};
use x402_std::chain::Usage;
use x402_std::chain::{
    Block, Call, ChainError, Journal, Outcome, PaidLog, Sent, Transaction, TxHash,
};
use x402_std::ledger::{Claiming, Conclusion, CreditAccount, Draw, DrawId, Drawing, Entry, Ledger};
use x402_std::ledger::{CreditNames, NameLedger, Renewal};
use x402_std::ledger::{LedgerError, LedgerIdentity, MemoryLedger, Owed, OwedAccount, Step};
use x402_std::quote::{TokenKey, TokenKeys};
use x402_std::seller::{Later, SellerOptions};
use x402_std::{BoxFuture, Chain, Seller};

pub(crate) const NOW: u64 = 1_790_000_000;
pub(crate) const PRICE: &str = "0.01";
const KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
const PAY_TO: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";

/// What the chain does.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Does {
    Settles,
    IsDown,
    IsSilent,
    SaysPoor,
    Reverts,
}

#[derive(Default)]
pub(crate) struct FakeChain {
    does: AtomicU8,
    asked: AtomicUsize,
    broadcasts: AtomicUsize,
    delay: Mutex<Duration>,
}

impl FakeChain {
    pub(crate) fn does(&self, does: Does) {
        self.does.store(does as u8, SeqCst);
    }

    pub(crate) fn takes(&self, delay: Duration) {
        *self.delay.lock().unwrap() = delay;
    }

    pub(crate) fn broadcasts(&self) -> usize {
        self.broadcasts.load(SeqCst)
    }

    /// How many calls were made.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }

    async fn ask(&self, does: Does) -> bool {
        self.asked.fetch_add(1, SeqCst);
        let delay = *self.delay.lock().unwrap();
        tokio::time::sleep(delay).await;
        self.does.load(SeqCst) == does as u8
    }
}

fn settled(payment: &Claimed) -> Settled {
    let signed = payment.transfer();
    let (from, to) = (signed.from().to_word(), signed.to().to_word());
    let (value, address) = (signed.value().to_be_bytes(), payment.asset());
    let transfer = Log { address, topics: &[TRANSFER_TOPIC, from, to], data: &value };
    let topics = [AUTHORIZATION_USED_TOPIC, from, *signed.nonce().as_bytes()];
    let logs = [Log { address, topics: &topics, data: &[] }, transfer];
    let order = LogOrder::TransferNext;
    let receipt =
        settlement::Receipt { succeeded: true, logs: &logs, submitter: Submitter::Own, order };
    payment.settled(&receipt, |_| false).unwrap().settled
}

/// What `outcome` and `find` say of a payment that has arrived; its nonce tells which log it was.
fn paid_log(payment: &Claimed) -> PaidLog {
    let [.., a, b, c, d] = *payment.transfer().nonce().as_bytes();
    let block = Block { number: 1, hash: [1; 32] };
    PaidLog { block, position: u32::from_be_bytes([a, b, c, d]) }
}

impl Chain for FakeChain {
    fn chain_id(&self) -> ChainId {
        ChainId::ETHEREUM
    }

    fn account(&self) -> Address {
        Address::ZERO
    }

    fn has_code(&self, _: Address) -> BoxFuture<'_, Result<bool, ChainError>> {
        Box::pin(async { Ok(false) })
    }

    fn simulate<'a>(&'a self, _: &'a Call) -> BoxFuture<'a, Result<(), ChainError>> {
        Box::pin(async {
            if self.ask(Does::IsDown).await {
                return Err(ChainError::Unavailable("http://node/?key=CANARY".into()));
            }
            if self.does.load(SeqCst) == Does::SaysPoor as u8 {
                return Err(ChainError::Refused(Error::Balance));
            }
            Ok(())
        })
    }

    fn broadcast<'a>(
        &'a self,
        call: &'a Call,
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<TxHash, ChainError>> {
        Box::pin(async move {
            let count = self.broadcasts.fetch_add(1, SeqCst) + 1;
            let hash = TxHash([count.try_into().unwrap(); 32]);
            let raw = call.data.clone();
            journal.record(&Transaction { hash, raw }).await.map_err(ChainError::Journal)?;
            Ok(hash)
        })
    }

    fn rebroadcast<'a>(
        &'a self,
        _: &'a Call,
        sent: &'a Transaction,
        _: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<TxHash, ChainError>> {
        Box::pin(async { Ok(sent.hash) })
    }

    fn outcome<'a>(
        &'a self,
        payment: &'a Claimed,
        _: Sent<'a>,
    ) -> BoxFuture<'a, Result<Outcome, ChainError>> {
        Box::pin(async {
            let settles = self.ask(Does::Settles).await;
            let reverts = self.does.load(SeqCst) == Does::Reverts as u8;
            Ok(match (settles, reverts) {
                (true, _) => Outcome::Settled(settled(payment), paid_log(payment)),
                (_, true) => Outcome::Reverted,
                (false, false) => Outcome::Unknown,
            })
        })
    }

    fn find<'a>(
        &'a self,
        _: &'a Claimed,
        _: u64,
        _: &'a [(TxHash, u32)],
    ) -> BoxFuture<'a, Result<Usage, ChainError>> {
        Box::pin(async { Ok(Usage::Unused) })
    }
}

pub(crate) struct Shop {
    pub(crate) chain: Arc<FakeChain>,
    pub(crate) seller: Arc<Seller>,
    pub(crate) offer: Offer<'static>,
}

/// A ledger that takes its time to keep an answer, and does not keep so many at first.
struct SlowLedger(MemoryLedger, AtomicUsize);

impl NameLedger for SlowLedger {
    fn credit_names(
        &self,
        account: CreditAccount,
    ) -> BoxFuture<'_, Result<CreditNames, LedgerError>> {
        self.0.credit_names(account)
    }

    fn renew_names(
        &self,
        account: CreditAccount,
        renewal: Renewal,
    ) -> BoxFuture<'_, Result<CreditNames, LedgerError>> {
        self.0.renew_names(account, renewal)
    }
}

impl Ledger for SlowLedger {
    fn claim(&self, entry: Entry) -> BoxFuture<'_, Result<Claiming, LedgerError>> {
        self.0.claim(entry)
    }

    fn apply(&self, id: PaymentId, step: Step) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async move {
            if matches!(step, Step::Answered(..)) {
                tokio::time::sleep(Duration::from_millis(30)).await;
                let refusals = self.1.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
                if refusals.is_ok() {
                    return Err(LedgerError::Storage("the disk is full".into()));
                }
            }
            self.0.apply(id, step).await
        })
    }

    fn find(&self, id: PaymentId) -> BoxFuture<'_, Result<Option<Entry>, LedgerError>> {
        self.0.find(id)
    }

    fn owes(&self, account: OwedAccount) -> BoxFuture<'_, Result<Owed, LedgerError>> {
        self.0.owes(account)
    }

    fn ids(&self) -> BoxFuture<'_, Result<Vec<PaymentId>, LedgerError>> {
        self.0.ids()
    }

    fn paid_by(
        &self,
        chain_id: ChainId,
        transaction: TxHash,
    ) -> BoxFuture<'_, Result<Vec<(PaymentId, Option<PaidLog>)>, LedgerError>> {
        self.0.paid_by(chain_id, transaction)
    }

    fn fill_in_logs(
        &self,
        chain_id: ChainId,
        transaction: TxHash,
        logs: Vec<(PaymentId, PaidLog)>,
    ) -> BoxFuture<'_, Result<(), LedgerError>> {
        self.0.fill_in_logs(chain_id, transaction, logs)
    }

    fn unfinal_blocks(
        &self,
        chain_id: ChainId,
        most: usize,
    ) -> BoxFuture<'_, Result<Vec<Block>, LedgerError>> {
        self.0.unfinal_blocks(chain_id, most)
    }

    fn paid_in(
        &self,
        chain_id: ChainId,
        block: Block,
        after: Option<PaymentId>,
        most: usize,
    ) -> BoxFuture<'_, Result<Vec<PaymentId>, LedgerError>> {
        self.0.paid_in(chain_id, block, after, most)
    }

    fn finalize(&self, chain_id: ChainId, block: Block) -> BoxFuture<'_, Result<(), LedgerError>> {
        self.0.finalize(chain_id, block)
    }

    fn open_entries(&self) -> BoxFuture<'_, Result<Vec<Entry>, LedgerError>> {
        self.0.open_entries()
    }

    fn balance(&self, account: CreditAccount) -> BoxFuture<'_, Result<Amount, LedgerError>> {
        self.0.balance(account)
    }

    fn balances(&self) -> BoxFuture<'_, Result<Vec<(CreditAccount, Amount)>, LedgerError>> {
        self.0.balances()
    }

    fn draw(&self, draw: Draw) -> BoxFuture<'_, Result<Drawing, LedgerError>> {
        self.0.draw(draw)
    }

    fn conclude(
        &self,
        id: DrawId,
        conclusion: Conclusion,
    ) -> BoxFuture<'_, Result<(), LedgerError>> {
        self.0.conclude(id, conclusion)
    }

    fn find_draw(&self, id: DrawId) -> BoxFuture<'_, Result<Option<Draw>, LedgerError>> {
        self.0.find_draw(id)
    }

    fn held_draws(&self) -> BoxFuture<'_, Result<Vec<Draw>, LedgerError>> {
        self.0.held_draws()
    }

    fn identity(&self) -> BoxFuture<'_, Result<LedgerIdentity, LedgerError>> {
        self.0.identity()
    }
}

impl Shop {
    pub(crate) fn new() -> Self {
        Self::keeping(MemoryLedger::new())
    }

    pub(crate) fn with_slow_ledger() -> Self {
        Self::keeping(SlowLedger(MemoryLedger::new(), AtomicUsize::new(0)))
    }

    /// The first answer is not kept.
    pub(crate) fn with_full_ledger() -> Self {
        Self::keeping(SlowLedger(MemoryLedger::new(), AtomicUsize::new(1)))
    }

    fn keeping(ledger: impl Ledger) -> Self {
        let chain = Arc::new(FakeChain::default());
        let asset = *Asset::find(ChainId::ETHEREUM, "USDC").unwrap();
        let options = SellerOptions {
            settle_timeout: Duration::from_millis(300),
            clock: Arc::new(|| NOW),
            later: Later {
                max_delay: Duration::from_millis(20),
                max_owed: vec![(asset.chain_id, asset.address, Amount::from_units(1_000_000))],
                ..Later::default()
            },
            ..SellerOptions::default()
        };
        let seller = Seller::new(Arc::new(ledger), Arc::clone(&chain) as Arc<dyn Chain>, options);
        Self { chain, seller, offer: offer(10_000) }
    }

    /// The header fields of a payment of the shop's price.
    pub(crate) fn payment(&self, nonce: u8) -> Vec<(&'static str, String)> {
        payment(&self.offer, nonce)
    }

    /// A request with such a payment.
    pub(crate) fn paid(&self, method: &str, target: &str, nonce: u8) -> Builder {
        let builder = http::Request::builder().method(method).uri(target);
        with(builder, &self.payment(nonce))
    }
}

/// The keys of a gateway of that name, of a seller whose gateways all have the same secret.
pub(crate) fn keys_of(name: &str) -> TokenKeys {
    TokenKeys::new(name, &TokenKey::from_bytes([7; 32]), None)
}

/// Those of the gateway that is tested.
pub(crate) fn keys() -> TokenKeys {
    keys_of("gateway")
}

pub(crate) fn payer() -> Address {
    signer().address()
}

pub(crate) fn offer(amount: u64) -> Offer<'static> {
    let usdc = *Asset::find(ChainId::ETHEREUM, "USDC").unwrap();
    Offer::new(usdc, Address::parse(PAY_TO).unwrap(), Amount::from_units(amount.into()), 60)
}

pub(crate) fn payment(offer: &Offer<'_>, nonce: u8) -> Vec<(&'static str, String)> {
    let policy = Policy::up_to(Price::parse("1000").unwrap());
    let now = Timestamp::from_secs(NOW);
    let unsigned = Unsigned::new(offer, &policy, payer(), Nonce::new([nonce; 32]), now).unwrap();
    let signature = signer().sign(unsigned.digest()).unwrap();
    let mut fields = Vec::new();
    unsigned.sign(signature).headers().unwrap().emit(
        offer.asset(),
        SignatureForm::Packed,
        |field, value| {
            fields.push((field.name(), value.to_owned()));
        },
    );
    fields.push(("Idempotency-Key", secret(nonce)));
    fields
}

/// What whoever presents a payment of that nonce again has, and no reader of the chain.
pub(crate) fn secret(nonce: u8) -> String {
    format!("the-secret-of-the-payer-of-{nonce}")
}

pub(crate) fn with(mut builder: Builder, fields: &[(&'static str, String)]) -> Builder {
    for (name, value) in fields {
        builder = builder.header(*name, value);
    }
    builder
}

pub(crate) fn signer() -> K256Signer {
    K256Signer::from_bytes(&hex::decode(KEY).unwrap()).unwrap()
}
