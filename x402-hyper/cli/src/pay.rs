//! `pay`: a request, and its price if that is within the limits.

mod kept;
mod report;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http::{Request, StatusCode};
use x402_core::secp256k1::K256Signer;
use x402_core::{Address, ChainId, Price};
use x402_hyper::client::{
    Answer, Budget, ClientError, Event, Limits, PayingClient, Payment, QuotingClient, Status,
};
use x402_std::key::SecretKey;
use x402_std::port;
use x402_std::secret_file::is_like_key;

use crate::args::PayArgs;
use crate::exit::{Exit, Failure};
use crate::output::{self, Lost, Progress, ms};
use crate::{request, signals};
use kept::Kept;

/// The variable with the payer's key, and that with the URL of a node.
const KEY: &str = "X402_KEY";
const RPC: &str = "X402_RPC";

pub(crate) async fn run(args: PayArgs) -> Result<Exit, Failure> {
    let (watched, result) = match &args.resume {
        Some(path) => resume(path, &args).await?,
        None => pay(&args).await?,
    };
    let answer = match result {
        Ok(answer) => answer,
        Err(error) => {
            // Not taken, or never sent: of all others the payment may have to be presented again.
            if matches!(error, ClientError::Refused(_) | ClientError::Unpaid(_)) {
                watched.conclude("refused");
            }
            return Err(request::failure(&error, || watched.advice()));
        }
    };
    let exit = exit_of(&answer);
    let is_owed = exit == Exit::Unknown && answer.payment.is_some();
    let help = is_owed.then(|| watched.advice());
    if args.json {
        let mut value = report::to_json(&answer, exit, &watched);
        value["help"] = help.as_deref().into();
        output::line(value);
    } else {
        output::bytes(answer.response.body());
    }
    // What was bought and could not be written is asked for again with the same payment.
    let is_bought = answer.payment.is_some() && matches!(exit, Exit::Ok | Exit::Unproven);
    let is_lost = is_bought && output::lost() == Some(Lost::Unwritten);
    if let (Some(payment), false) = (&answer.payment, is_owed || is_lost) {
        watched.conclude(payment.status.as_str());
    }
    let help = if is_lost { Some(watched.again()) } else { help };
    report::conclude(&answer, help.as_deref(), &watched);
    Ok(exit)
}

type Outcome = (Watched, Result<Answer, ClientError>);

async fn pay(args: &PayArgs) -> Result<Outcome, Failure> {
    let limits = limits(args)?;
    let uri = request::uri(args.url.as_deref().unwrap_or_default())?;
    let mut request = request::build(uri, None, &args.request)?;
    let signer = signer(args.key_file.as_deref())?;
    // Whoever gives a command once more after an outcome that was not known would pay twice.
    if let Some((kept, payment)) = Kept::find(&request, x402_core::Signer::address(&signer)) {
        let path = kept.path.display();
        output::note(format_args!(
            "a payment for this request is open, and presented again: {path}"
        ));
        *request.uri_mut() = payment.uri().clone();
        return present(kept, payment, request, args).await;
    }
    let watch = Watch::new();
    let (kept, asked) = (Arc::clone(&watch.kept), request.uri().clone());
    // Kept before it is sent: whatever ends this program, the payment is not lost.
    let keep = move |payment: &Payment| {
        let file = Kept::write(payment, &asked)?;
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        Ok(())
    };
    let mut client =
        PayingClient::builder(signer, limits).http(request::options(&args.request)).keep(keep);
    if let Some(budget) = budget(args)? {
        client = client.budget(budget);
    }
    let client = client.build().map_err(Failure::failed)?;
    watch.progress.doing("asking for the price");
    let mut tell = |event: Event<'_>| watch.tell(&event);
    let sent = client.send_watched(request, &mut tell);
    watch.finish(sent).await
}

async fn resume(path: &Path, args: &PayArgs) -> Result<Outcome, Failure> {
    let (kept, payment) = Kept::load(path)?;
    let request = resumed(&payment, args)?;
    present(kept, payment, request, args).await
}

/// Sends a request with the payment that was signed for it before.
async fn present(
    kept: Kept,
    payment: Payment,
    request: Request<Bytes>,
    args: &PayArgs,
) -> Result<Outcome, Failure> {
    let client = QuotingClient::new(request::options(&args.request)).map_err(Failure::failed)?;
    let watch = Watch::new();
    *watch.kept() = Some(kept);
    watch.tell(&Event::Signed(&payment));
    let mut tell = |event: Event<'_>| watch.tell(&event);
    let sent = client.resume(request, payment, &mut tell);
    watch.finish(sent).await
}

/// The request that the payment was signed for. Its file has all of it; what is said once more has to be
/// the same.
fn resumed(payment: &Payment, args: &PayArgs) -> Result<Request<Bytes>, Failure> {
    let Some(request) = payment.request() else {
        // Of a version that kept the method and the URL alone.
        let (uri, method) = (payment.uri().clone(), payment.method().clone());
        return request::build(uri, Some(method), &args.request);
    };
    match request::contradiction(&args.request, &request)? {
        Some(what) => Err(Failure::usage(format!("the payment was signed for another {what}"))
            .help("nothing was sent; leave -X, -H and -d out: the file has them")),
        None => Ok(request),
    }
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
    // A file of that name would be made.
    if is_like_key(&path.to_string_lossy()) {
        let error = "--budget: this looks like a key, and is not repeated here";
        return Err(Failure::usage(error).help("name a file in which what is signed is counted"));
    }
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
    if let Some(node) = args.rpc.clone().or_else(|| std::env::var(RPC).ok()) {
        // The value is not shown: it may hold a key.
        let unreadable = |_| Failure::usage("--rpc, or X402_RPC: the URL cannot be read");
        if !port::is_sound_in(&node) {
            let error = "--rpc, or X402_RPC: the port in the URL is none";
            return Err(Failure::usage(error).help(request::PORT_HELP));
        }
        budget = budget.ask(node.parse().map_err(unreadable)?);
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
    /// The file of the payment, once there is one.
    kept: Arc<Mutex<Option<Kept>>>,
}

struct Watched {
    started: Instant,
    asked: Option<Instant>,
    signed: Option<Instant>,
    answered: Option<Instant>,
    payment: Option<Payment>,
    kept: Option<Kept>,
}

impl Watch {
    fn new() -> Self {
        let started = Instant::now();
        let (asked, signed, answered, payment, kept) = (None, None, None, None, None);
        let watched = Watched { started, asked, signed, answered, payment, kept };
        Self { progress: Progress::new(), watched: Mutex::new(watched), kept: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
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
        let (payment, kept) = (lock.payment.take(), self.kept().take());
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
    /// How to have the answer once more that was lost here.
    fn again(&self) -> String {
        let file = self.file();
        format!(
            "the answer could not be written; the same command, or x402 pay --resume {file}, asks for it \
             again with the same payment, which pays once: a seller who keeps answers gives it again"
        )
    }

    /// Where the payment is kept.
    fn file(&self) -> String {
        let file = self.kept.as_ref().map(|kept| kept.path.display());
        file.map_or_else(|| "FILE".to_owned(), |path| path.to_string())
    }

    /// How to go on with the payment: its file was written before it was sent, and never again.
    fn advice(&self) -> String {
        let file = self.file();
        let valid_before = self.payment.as_ref().map(|payment| payment.valid_before);
        let until = valid_before.map_or_else(String::new, |until| {
            format!("; it can be taken until Unix time {until}: look at the payer's account then")
        });
        format!(
            "do not pay again; present the same payment, by the same command or by \
             x402 pay --resume {file}{until}"
        )
    }

    /// Nobody will present the payment again.
    fn conclude(&self, outcome: &str) {
        if let Some(kept) = &self.kept {
            kept.conclude(outcome);
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
    let is_owed = status.is_server_error() || status == StatusCode::PAYMENT_REQUIRED;
    match answer.payment.as_ref().map(|payment| payment.status) {
        None | Some(Status::Accepted | Status::NotCharged | Status::Settled) if is_ok => Exit::Ok,
        // Paid, and the work is owed still: the same payment claims it.
        Some(Status::Settled) if is_owed => Exit::Unknown,
        None | Some(Status::NotCharged | Status::Settled) => Exit::Failed,
        Some(_) if is_ok => Exit::Unproven,
        // Neither served nor proven: the same payment may be presented again.
        Some(_) => Exit::Unknown,
    }
}
