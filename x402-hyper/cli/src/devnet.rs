//! `devnet`: the development chain on a port of this machine.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use x402_core::Address;
use x402_hyper::listener;
use x402_std::devnet::{Devnet, DevnetOptions, EURC, USDC, accounts};

use crate::args::DevnetArgs;
use crate::exit::{Exit, Failure};
use crate::{output, signals};

pub(crate) async fn run(args: DevnetArgs) -> Result<Exit, Failure> {
    let address = SocketAddr::new(args.listen.ip, args.listen.port.unwrap_or(args.port));
    if !address.ip().is_loopback() {
        return Err(Failure::usage("the development chain listens on this machine only")
            .at(format!("--listen {}", address.ip()))
            .help("everybody knows its keys; use 127.0.0.1 or ::1"));
    }
    let chain = Devnet::new(&DevnetOptions::default()).map_err(Failure::failed)?;
    let listener = listen(address)?;
    let address = listener.local_addr().map_err(Failure::failed)?;
    let stop = signals::stop();
    output::line(format_args!("chain 1 (ethereum) at http://{address}"));
    output::line(format_args!("USDC {}  EURC {}", Address::new(USDC), Address::new(EURC)));
    for (at, account) in accounts().into_iter().enumerate() {
        let tokens = if at == 1 { ", 1000000 USDC, 1000000 EURC" } else { "" };
        output::line(format_args!("account {at}: {}  10000 ETH{tokens}", Address::new(account)));
    }
    output::line("the keys are those of the mnemonic \"test test test … junk\"; stop with Ctrl-C");
    let served = x402_hyper::devnet::serve(listener, chain, stop).await;
    served.map(|()| Exit::Ok).map_err(Failure::failed)
}

/// Binds a listener, and says plainly where that fails.
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    listener::bind(address).map_err(|error| {
        let failure = Failure::failed(format!("cannot listen: {error}")).at(address);
        match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                failure.help("another program has the port; choose another")
            }
            std::io::ErrorKind::PermissionDenied => failure.help("choose a port from 1024 on"),
            _ => failure,
        }
    })
}
