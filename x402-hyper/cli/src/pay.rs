//! `pay`: a request, and its price if that is within the limits.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};
use x402_core::hex::Hex;
use x402_core::secp256k1::K256Signer;
use x402_core::{Address, ChainId, Price};
use x402_hyper::client::{
    Answer, Budget, ClientError, Event, Limits, PayingClient, Payment, QuotingClient, Status,
};
use x402_std::key::SecretKey;

use crate::args::PayArgs;
use crate::exit::{Exit, Failure};
use crate::output::{self, Progress, millis, ms};
use crate::{quote, request, signals};

/// The variable with the payer's key.
const KEY: &str = "X402_KEY";

pub(crate) async fn run(args: PayArgs) -> Result<Exit, Failure> {
    let (watched, result) = match &args.resume {
        Some(path) => resume(path, &args).await?,
        None => pay(&args).await?,
    };
    // A file that was named to us is its owner's to remove.
    let is_new = args.resume.is_none();
    let answer = match result {
        Ok(answer) => answer,
        Err(error) => {
            // Of all errors this one alone leaves a payment to be presented again.
            if is_new && !matches!(error, ClientError::Unresolved(_)) {
                watched.forget();
            }
            return Err(request::failure(&error, || watched.advice()));
        }
    };
    let exit = exit_of(&answer);
    let is_owed = exit == Exit::Unknown && answer.payment.is_some();
    let help = is_owed.then(|| watched.advice());
    if is_new && !is_owed {
        watched.forget();
    }
    if args.json {
        let mut value = to_json(&answer, exit, &watched);
        value["help"] = help.as_deref().into();
        output::line(value);
    } else {
        output::bytes(answer.response.body());
    }
    conclude(&answer, help.as_deref(), &watched);
    Ok(exit)
}

type Outcome = (Watched, Result<Answer, ClientError>);

async fn pay(args: &PayArgs) -> Result<Outcome, Failure> {
    let limits = limits(args)?;
    let uri = request::uri(args.url.as_deref().unwrap_or_default())?;
    let request = request::build(uri, None, &args.request)?;
    let mut client = PayingClient::builder(signer(args.key_file.as_deref())?, limits)
        .http(request::options(&args.request));
    if let Some(budget) = budget(args)? {
        client = client.budget(budget);
    }
    let client = client.build().map_err(Failure::failed)?;
    let watch = Watch::new();
    watch.progress.doing("asking for the price");
    // Kept before it is sent: whatever ends this program, the payment is not lost.
    let mut tell = |event: Event<'_>| {
        if let Event::Signed(payment) = event {
            watch.keep(payment);
        }
        watch.tell(&event);
    };
    let sent = client.send_watched(request, &mut tell);
    watch.finish(sent).await
}

async fn resume(path: &Path, args: &PayArgs) -> Result<Outcome, Failure> {
    let unreadable = |error| Failure::usage(format!("{error}")).at(path.display());
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let payment = Payment::load(&text).map_err(|error| Failure::usage(error).at(path.display()))?;
    let request = resumed(&payment, args)?;
    let client = QuotingClient::new(request::options(&args.request)).map_err(Failure::failed)?;
    let watch = Watch::new();
    watch.lock().kept = Some(path.to_owned());
    watch.tell(&Event::Signed(&payment));
    let mut tell = |event: Event<'_>| watch.tell(&event);
    let sent = client.resume(request, payment, &mut tell);
    watch.finish(sent).await
}

/// The request that the payment was signed for; only its body and its own fields are said again.
fn resumed(payment: &Payment, args: &PayArgs) -> Result<Request<Bytes>, Failure> {
    request::build(payment.uri().clone(), Some(payment.method().clone()), &args.request)
}

fn limits(args: &PayArgs) -> Result<Limits, Failure> {
    let wrong =
        |flag: &str, error: &dyn core::fmt::Display| Failure::usage(format!("{flag}: {error}"));
    let max = Price::parse(args.max.as_deref().unwrap_or_default()).map_err(|error| {
        wrong("--max", &error).help("write a decimal in units of the asset, such as 0.05")
    })?;
    let recipient = args.recipient.as_deref().map(Address::parse).transpose();
    let network = args.network.as_deref().map(ChainId::parse).transpose();
    Ok(Limits {
        recipient: recipient.map_err(|error| wrong("--recipient", &error))?,
        network: network.map_err(|error| wrong("--network", &error))?,
        assets: args.asset.clone(),
        dialect: args.dialect.map(Into::into),
        permit2: args.permit2,
        ..Limits::up_to(max)
    })
}

fn budget(args: &PayArgs) -> Result<Option<Budget>, Failure> {
    let Some(path) = &args.budget else { return Ok(None) };
    let price = |flag: &str, text: &Option<String>| {
        let price = text.as_deref().map(Price::parse).transpose();
        price.map_err(|error| Failure::usage(format!("{flag}: {error}")))
    };
    let mut budget = Budget::new(path);
    if let Some(most) = price("--max-per-host", &args.max_per_host)? {
        budget = budget.per_host(most);
    }
    if let Some(most) = price("--max-per-day", &args.max_per_day)? {
        budget = budget.per_day(most);
    }
    Ok(Some(budget))
}

/// The payer's key: from the file, or from the variable. Never from the command line, which others
/// can read.
fn signer(file: Option<&Path>) -> Result<K256Signer, Failure> {
    let key = match file {
        Some(path) => SecretKey::from_file(path),
        None => SecretKey::from_env(KEY),
    };
    let help = "give --key-file, or set X402_KEY to the payer's key in hex";
    key.and_then(|key| key.signer()).map_err(|error| Failure::usage(error).help(help))
}

/// What happened, and when.
struct Watch {
    progress: Progress,
    watched: Mutex<Watched>,
}

struct Watched {
    started: Instant,
    asked: Option<Instant>,
    signed: Option<Instant>,
    answered: Option<Instant>,
    payment: Option<Payment>,
    kept: Option<PathBuf>,
}

impl Watch {
    fn new() -> Self {
        let started = Instant::now();
        let (asked, signed, answered, payment, kept) = (None, None, None, None, None);
        let watched = Watched { started, asked, signed, answered, payment, kept };
        Self { progress: Progress::new(), watched: Mutex::new(watched) }
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, payment: &Payment) {
        let kept = write_file(payment);
        if kept.is_none() {
            self.progress.done("the payment could not be kept in a file");
        }
        self.lock().kept = kept;
    }

    fn tell(&self, event: &Event<'_>) {
        let mut watched = self.lock();
        match event {
            Event::Asked(terms) => {
                watched.asked = Some(Instant::now());
                self.progress.done(format_args!("asked {terms}"));
            }
            Event::Signed(payment) => {
                watched.signed = Some(Instant::now());
                watched.payment = Some((*payment).clone());
                self.progress.doing(format_args!("paying {payment}"));
            }
            Event::Waiting { pause, why } => {
                self.progress.done(format_args!("no answer yet ({why}); again in {}", ms(*pause)));
            }
            _ => {}
        }
    }

    /// Waits for the answer, or for the user's patience to end: then what was signed is kept.
    async fn finish(
        &self,
        sent: impl Future<Output = Result<Answer, ClientError>>,
    ) -> Result<Outcome, Failure> {
        let result = tokio::select! {
            result = sent => Some(result),
            () = signals::stop() => None,
        };
        self.progress.doing("");
        let mut lock = self.lock();
        lock.answered = Some(Instant::now());
        let (payment, kept) = (lock.payment.take(), lock.kept.take());
        let watched = Watched { payment, kept, ..*lock };
        match (result, &watched.payment) {
            (Some(result), _) => Ok((watched, result)),
            (None, None) => Err(Failure::failed("interrupted").help("nothing was paid")),
            (None, Some(payment)) => {
                let text = "interrupted: the outcome of the payment is not known";
                Err(Failure::new(Exit::Unknown, text).at(payment).help(watched.advice()))
            }
        }
    }
}

impl Watched {
    /// How to go on with the payment: its file was written before it was sent, and never again.
    fn advice(&self) -> String {
        match &self.kept {
            Some(path) => format!(
                "do not pay again; present the same payment, with the same -H and -d: x402 pay --resume {}",
                path.display()
            ),
            None => "do not pay again; look at the recipient's account first. The payment could \
                     not be kept in a file"
                .to_owned(),
        }
    }

    /// Removes the file of a payment that nobody will present again.
    fn forget(&self) {
        if let Some(path) = &self.kept {
            // A file left over does no harm: the payment is good for one answer.
            drop(std::fs::remove_file(path));
        }
    }

    /// How long the unpaid request, the signature and the paid request took.
    fn split(&self) -> [Option<core::time::Duration>; 3] {
        let between = |from: Option<Instant>, to: Option<Instant>| Some(to? - from?);
        [
            between(Some(self.started), self.asked.or(self.answered)),
            between(self.asked, self.signed),
            between(self.signed, self.answered),
        ]
    }
}

fn exit_of(answer: &Answer) -> Exit {
    let status = answer.response.status();
    let is_ok = status.is_success() || status.is_redirection() && answer.payment.is_some();
    match answer.payment.as_ref().map(|payment| payment.status) {
        None | Some(Status::Accepted | Status::Settled) if is_ok => Exit::Ok,
        // Paid, and the work is owed still: the same payment claims it.
        Some(Status::Settled) if status.is_server_error() => Exit::Unknown,
        None | Some(Status::Settled) => Exit::Failed,
        Some(_) if is_ok => Exit::Unproven,
        // Neither served nor proven: the same payment may be presented again.
        Some(_) => Exit::Unknown,
    }
}

fn conclude(answer: &Answer, help: Option<&str>, watched: &Watched) {
    let status = answer.response.status();
    let Some(payment) = &answer.payment else {
        output::note(format_args!("{status}, nothing to pay"));
        redirect_note(&answer.response);
        return;
    };
    let [ask, sign, paid] = watched.split();
    let times: Vec<_> = [("ask", ask), ("sign", sign), ("pay and serve", paid)]
        .into_iter()
        .filter_map(|(what, time)| Some(format!("{what} {}", ms(time?))))
        .collect();
    output::note(format_args!("paid {payment}"));
    match payment.transaction {
        Some(transaction) => output::note(format_args!("{} in {transaction}", payment.status)),
        None if payment.status == Status::Accepted => {
            output::note(format_args!("{}: the seller settles it later", payment.status));
        }
        None => output::note(format_args!("{}: the seller names no transaction", payment.status)),
    }
    output::note(format_args!("{status} ({})", times.join(", ")));
    if let Some(help) = help {
        output::note(format_args!("help: {help}"));
    }
}

fn redirect_note(response: &Response<Bytes>) {
    if response.status().is_redirection() {
        output::note("help: the seller sends you to another URL; ask there if you trust it");
    }
}

fn to_json(answer: &Answer, exit: Exit, watched: &Watched) -> Value {
    let [ask, sign, paid] = watched.split().map(|time| time.map(millis));
    let mut value = quote::answer_to_json(&answer.response);
    value["ok"] = (exit == Exit::Ok).into();
    value["exit"] = (exit as u8).into();
    value["payment"] = answer.payment.as_ref().map_or(Value::Null, payment_to_json);
    value["ms"] = json!({"ask": ask, "sign": sign, "pay_and_serve": paid});
    value
}

fn payment_to_json(payment: &Payment) -> Value {
    json!({
        "price": payment.price().to_string(),
        "amount": payment.amount.to_string(),
        "asset": quote::asset_to_json(&payment.asset),
        "network": payment.asset.chain_id.to_string(),
        "recipient": payment.recipient.to_string(),
        "payer": payment.payer.to_string(),
        "nonce": payment.nonce.to_string(),
        "valid_before": payment.valid_before.to_secs(),
        "status": payment.status.as_str(),
        "transaction": payment.transaction.map(|hash| hash.to_string()),
    })
}

/// Writes a payment to a new file that nobody else can read: here, or where temporary files go.
fn write_file(payment: &Payment) -> Option<PathBuf> {
    let nonce = Hex(payment.nonce.as_bytes().get(..8).unwrap_or_default()).to_string();
    let name = format!("x402-payment-{}.json", nonce.trim_start_matches("0x"));
    let places = [PathBuf::from(&name), std::env::temp_dir().join(&name)];
    places.into_iter().find(|path| write_private(path, &payment.save()).is_ok())
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        // The disk is full, say: half a payment is of no use.
        drop(std::fs::remove_file(path));
    }
    written
}
