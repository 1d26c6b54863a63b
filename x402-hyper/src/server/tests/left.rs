//! What a payment has bought, whatever its payer does to the request meanwhile, and whatever it costs by now.

use std::sync::atomic::AtomicU64;

use super::quoted::{Changing, QUALITY};
use super::*;

/// A request whose body is still to come, and the way to it.
fn open(shop: &Shop, nonce: u8) -> (mpsc::Sender<Result<Bytes, std::io::Error>>, Request<Channel>) {
    let (sender, body) = mpsc::channel(4);
    (sender, shop.paid("POST", "/", nonce).body(Channel(body)).unwrap())
}

fn whole(shop: &Shop, nonce: u8) -> Request<Channel> {
    open(shop, nonce).1
}

fn selling(shop: &Shop, settle: Settle, is_measured: bool) -> PaymentLayer {
    match is_measured {
        true => metered::sells(shop, settle, None),
        false => settling::layer_of(shop, settle),
    }
}

/// How a request does not end.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Breaks,
    /// There is more than is read of it.
    IsLong,
    /// Nobody knows.
    StaysOpen,
}

impl Ending {
    const ALL: [Self; 3] = [Self::Breaks, Self::IsLong, Self::StaysOpen];
    /// How much is read of a request.
    const LIMIT: u64 = 8;

    async fn of(self, request: &mpsc::Sender<Result<Bytes, std::io::Error>>) {
        match self {
            Self::Breaks => request.send(Err(broken())).await.unwrap(),
            Self::IsLong => request.send(Ok("more than that".into())).await.unwrap(),
            Self::StaysOpen => {}
        }
    }
}

/// The service behind breaks because the client does, as one behind a proxy would.
#[tokio::test(start_paused = true)]
async fn who_breaks_off_the_request_while_the_answer_comes_has_bought_what_has_come() {
    for (settle, is_measured, ending) in [Settle::First, Settle::Later]
        .into_iter()
        .flat_map(|settle| [(settle, false), (settle, true)])
        .flat_map(|(settle, is)| Ending::ALL.map(|ending| (settle, is, ending)))
    {
        let (shop, runs) = (Shop::new(), Arc::new(AtomicUsize::new(0)));
        let (pieces, answer) = mpsc::channel(4);
        let answer = Arc::new(Mutex::new(Some(Channel(answer))));
        let counter = Arc::clone(&runs);
        let inner = move |_: Request<RequestBody<Channel>>| {
            counter.fetch_add(1, SeqCst);
            let answer = answer.lock().unwrap().take().unwrap();
            ready(Ok::<_, Infallible>(Response::new(answer)))
        };
        let layer = selling(&shop, settle, is_measured);
        let layer = layer.hash_bodies_up_to(Ending::LIMIT, Duration::from_secs(1));
        let service = layer.layer(service_fn(inner));
        let (request, paid) = open(&shop, 1);
        let mut answer = service.clone().oneshot(paid).await.unwrap().into_body();
        pieces.send(Ok("the first of it".into())).await.unwrap();
        assert!(answer.frame().await.unwrap().is_ok());
        ending.of(&request).await;
        pieces.send(Err(broken())).await.unwrap();
        assert!(answer.frame().await.unwrap().is_err());
        // Until it is known that no more of the request comes.
        tokio::time::sleep(Duration::from_secs(6)).await;
        shop.seller.close_tab().await;
        for _ in 0..2 {
            let (head, _) = send(&service, whole(&shop, 1)).await;
            assert_eq!(head.status, StatusCode::CONFLICT, "{settle:?}, {ending:?}");
        }
        assert_eq!((runs.load(SeqCst), shop.chain.broadcasts()), (1, 1), "{settle:?}, {ending:?}");
        let left = if is_measured { 10_000 - 15 } else { 0 };
        assert_eq!(metered::balance(&shop).await, left, "{settle:?}, {ending:?}");
    }
}

/// Whose request is whole has broken nothing.
#[tokio::test(start_paused = true)]
async fn what_breaks_for_a_request_that_has_ended_is_not_the_clients_fault() {
    for (settle, broadcasts) in [(Settle::First, 1), (Settle::Later, 0)] {
        let (shop, runs) = (Shop::new(), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&runs);
        let inner = move |_: Request<RequestBody<Channel>>| {
            counter.fetch_add(1, SeqCst);
            let (pieces, answer) = mpsc::channel(4);
            pieces.try_send(Ok("the first of it".into())).unwrap();
            pieces.try_send(Err(broken())).unwrap();
            ready(Ok::<_, Infallible>(Response::new(Channel(answer))))
        };
        let service = selling(&shop, settle, false).layer(service_fn(inner));
        for run in 1..3 {
            let answer = service.clone().oneshot(whole(&shop, 1)).await.unwrap();
            assert!(answer.into_body().collect().await.is_err());
            // Until the payment is nobody's again. The work is owed still, or nothing is.
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!((runs.load(SeqCst), shop.chain.broadcasts()), (run, broadcasts));
        }
    }
}

/// Else who stays until the authorization has ended, reading or not, is charged nothing.
#[tokio::test(start_paused = true)]
async fn what_is_paid_for_later_is_over_in_time_to_be_paid() {
    for (is_measured, has_come, status) in
        [(true, true, 200), (false, true, 200), (true, false, 200), (false, false, 101)]
    {
        let shop = Shop::new();
        let (pieces, answer) = mpsc::channel(4);
        let answer = Arc::new(Mutex::new(Some(Channel(answer))));
        let inner = move |_: Request<RequestBody<Channel>>| {
            let answer = answer.lock().unwrap().take().unwrap();
            ready(Ok::<_, Infallible>(Response::builder().status(status).body(answer).unwrap()))
        };
        let service = selling(&shop, Settle::Later, is_measured).layer(service_fn(inner));
        let mut answer = service.oneshot(whole(&shop, 1)).await.unwrap().into_body();
        if has_come {
            pieces.send(Ok("the first of it".into())).await.unwrap();
            assert!(answer.frame().await.unwrap().is_ok());
        }
        // The authorization is valid for a minute.
        tokio::time::sleep(Duration::from_secs(50)).await;
        assert!(answer.frame().await.unwrap().is_err());
        shop.seller.close_tab().await;
        // What goes through a tunnel is not seen.
        let is_paid = has_come || status == 101;
        assert_eq!(shop.chain.broadcasts(), usize::from(is_paid), "{status} {is_measured}");
        let left = if is_measured && has_come { 10_000 - 15 } else { 0 };
        assert_eq!(metered::balance(&shop).await, left);
    }
}

/// The service behind does not wait for the body: its work is done, and paid for.
#[tokio::test(start_paused = true)]
async fn who_leaves_the_request_open_has_used_the_payment() {
    for (settle, ending) in [Settle::First, Settle::After, Settle::Later]
        .into_iter()
        .flat_map(|settle| Ending::ALL.map(|ending| (settle, ending)))
    {
        let (shop, runs) = (Shop::new(), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&runs);
        let inner = move |_: Request<RequestBody<Channel>>| {
            counter.fetch_add(1, SeqCst);
            ready(Ok::<_, Infallible>(Response::new(full("done"))))
        };
        let layer = selling(&shop, settle, false);
        let layer = layer.hash_bodies_up_to(Ending::LIMIT, Duration::from_secs(1));
        let service = layer.layer(service_fn(inner));
        let (request, paid) = open(&shop, 1);
        ending.of(&request).await;
        let (head, body) = send(&service, paid).await;
        assert_eq!((head.status, &body[..]), (StatusCode::OK, &b"done"[..]), "{settle:?}");
        drop(request);
        shop.seller.close_tab().await;
        // The same request has the answer again.
        let (head, body) = send(&service, whole(&shop, 1)).await;
        assert_eq!((head.status, &body[..]), (StatusCode::OK, &b"done"[..]), "{settle:?}");
        let other = shop.paid("POST", "/other", 1).body(whole(&shop, 1).into_body()).unwrap();
        assert_eq!(send(&service, other).await.0.status, StatusCode::CONFLICT, "{settle:?}");
        assert_eq!((runs.load(SeqCst), shop.chain.broadcasts()), (1, 1), "{settle:?}, {ending:?}");
    }
}

/// Answers nothing the first time.
fn failing_first(runs: &Arc<AtomicUsize>) -> impl Echo {
    let runs = Arc::clone(runs);
    service_fn(move |_: Request<RequestBody<Full<Bytes>>>| {
        let status = if runs.fetch_add(1, SeqCst) == 0 { 500 } else { 200 };
        let answer = Response::builder().status(status).body(full("all of it"));
        ready(Ok::<_, Infallible>(answer.unwrap()))
    })
}

#[tokio::test]
async fn what_is_owed_for_a_small_one_is_no_large_one() {
    let (shop, runs) = (Shop::new(), Arc::default());
    let pricing = Changing(Arc::new(10_000.into()));
    let service = PaymentLayer::new(Arc::clone(&shop.seller), pricing).layer(failing_first(&runs));
    let request = |qualities: &[&str]| {
        let request = shop.paid("POST", "/", 1);
        let request =
            qualities.iter().fold(request, |request, value| request.header(QUALITY, *value));
        request.body(full("")).unwrap()
    };
    assert_eq!(send(&service, request(&["low"])).await.0.status, 500);
    for other in [&["high"][..], &["Low"], &["low", "high"], &["low", "low"], &[]] {
        assert_eq!(
            send(&service, request(other)).await.0.status,
            StatusCode::CONFLICT,
            "{other:?}"
        );
    }
    assert_eq!(send(&service, request(&["low"])).await.0.status, StatusCode::OK);
    assert_eq!((runs.load(SeqCst), shop.chain.broadcasts()), (2, 1));
}

/// And for all that was paid: what it is cheaper by now is not given back, for it was not asked for.
#[tokio::test]
async fn what_was_paid_before_the_price_changed_is_served_whole_and_once() {
    for then in [20_000, 5_000] {
        let (shop, runs) = (Shop::new(), Arc::default());
        let price = Arc::new(AtomicU64::new(10_000));
        let pricing = Changing(Arc::clone(&price));
        let service =
            PaymentLayer::new(Arc::clone(&shop.seller), pricing).layer(failing_first(&runs));
        let request = || shop.paid("POST", "/", 1).body(full("")).unwrap();
        assert_eq!(send(&service, request()).await.0.status, 500);
        price.store(then, SeqCst);
        for _ in 0..3 {
            let (head, body) = send(&service, request()).await;
            assert_eq!((head.status, &body[..]), (StatusCode::OK, &b"all of it"[..]));
        }
        assert_eq!((runs.load(SeqCst), shop.chain.broadcasts()), (2, 1));
        assert_eq!(metered::balance(&shop).await, 0);
    }
}
