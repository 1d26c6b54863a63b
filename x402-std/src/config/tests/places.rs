//! Where others are: URLs with ports, files, the gateway itself.

use super::*;

#[test]
fn a_port_that_is_none_is_refused_wherever_a_url_is_read() {
    let remote = |url: &str| format!("facilitator: {{url: \"{url}\"}}\n{MINIMAL}");
    let public = |url: &str| format!("public_url: \"{url}\"\n{MINIMAL}");
    for port in [":", ":0", ":65536", ":65616", ":+80", ":0x50", ":80a", ":-1"] {
        let here = format!("http://127.0.0.1{port}");
        for text in [
            with(&format!("chain: {{rpc: \"{here}/CANARY\", key_file: a}}")),
            with(&format!(
                "chain: {{rpc: [\"http://a\", \"http://u:CANARY@h{port}\"], key_file: a}}"
            )),
            with(&format!("upstream: \"{here}\"")),
            remote(&here),
            remote(&format!("{here}/x")),
            format!("facilitator: \"{here}\"\n{MINIMAL}"),
            public(&format!("https://api.example{port}/x")),
            with(&format!("ledger: \"postgres://u:CANARY@a:1,b{port}/d\"")),
            with(&format!("ledger: \"redis://:CANARY@h{port}/1\"")),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.message().contains("port"), "{error}");
            assert!(error.help().contains("port") || error.help().contains("65535"), "{error}");
            assert!(!error.to_string().contains("CANARY"), "{error}");
        }
    }
    for text in [
        with("chain: {rpc: \"http://u:p@[::1]:65535/x\", key_file: a}"),
        with("upstream: \"http://[::1]:1\""),
        remote("http://[::1]:8080"),
        public("https://api.example:8443"),
    ] {
        assert!(parse(&text).is_ok(), "{text}");
    }
}

#[test]
fn the_upstream_is_not_the_gateway() {
    for url in ["http://127.0.0.1:4021", "http://localhost:4021/x", "http://0.0.0.0:4021"] {
        let error = parse(&with(&format!("upstream: \"{url}\""))).unwrap_err();
        assert_eq!(error.message(), "the upstream is the address that this server listens on");
        assert_eq!(error.line(), Some(2), "{error}");
    }
    let public = |url: &str, upstream: &str| {
        format!("public_url: \"{url}\"\n{}", with(&format!("upstream: \"{upstream}\"")))
    };
    let error = parse(&public("http://shop.example/x", "http://Shop.example:80")).unwrap_err();
    assert_eq!(error.message(), "the upstream is public_url");
    for upstream in ["http://shop.example:81", "http://shop.example/y", "http://shop.example/xy"] {
        assert!(parse(&public("http://shop.example/x", upstream)).is_ok(), "{upstream}");
    }
    assert!(parse(&public("https://shop.example", "http://shop.example:8080")).is_ok());
}

#[test]
fn a_start_waits_unless_it_is_told_to_exit() {
    assert_eq!(parse(MINIMAL).unwrap().on_start, OnStart::Wait);
    for (word, expected) in [("wait", OnStart::Wait), ("exit", OnStart::Exit)] {
        let text = format!("on_start: {word}\n{MINIMAL}");
        assert_eq!(parse(&text).unwrap().on_start, expected);
    }
    let error = parse(&format!("on_start: wiat\n{MINIMAL}")).unwrap_err();
    assert_eq!(error.message(), "unknown way to start `wiat`");
    assert_eq!(error.help(), "did you mean `wait`? There are: wait, exit");
    let served = "listen: 127.0.0.1:0\nledger: memory\nchains:\n  - {network: base, rpc: 'http://a', \
                  key_file: k, assets: [USDC]}\n";
    let parse = |text: &str| FacilitatorConfig::parse(text, "facilitator.yaml");
    assert_eq!(parse(served).unwrap().on_start, OnStart::Wait);
    assert_eq!(parse(&format!("on_start: exit\n{served}")).unwrap().on_start, OnStart::Exit);
    assert!(parse(&format!("on_start: never\n{served}")).is_err());
}

#[test]
fn a_secret_in_the_place_of_its_file_is_not_shown() {
    const KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
    const TOKEN: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";
    for secret in [KEY, TOKEN] {
        let remote =
            format!("facilitator: {{url: \"https://f\", token_file: \"{secret}\"}}\n{MINIMAL}");
        let own = format!("secret_file: \"{secret}\"\n{MINIMAL}");
        for text in [
            with(&format!("chain: {{rpc: \"http://a\", key_file: \"{secret}\"}}")),
            remote.clone(),
            own,
        ] {
            let shown = format!("{:?}", parse(&text).unwrap());
            assert!(!shown.contains("59c6") && !shown.contains("4eC3"), "{shown}");
        }
        let error = parse(&remote.replace("https://f", "http://elsewhere")).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("59c6") && !shown.contains("4eC3"), "{shown}");
        let served = format!(
            "listen: 127.0.0.1:0\nledger: memory\ntoken_file: '{secret}'\nchains:\n  - {{network: base, \
             rpc: 'http://a', key_file: '{secret}', assets: [USDC]}}\n"
        );
        let shown = format!("{:?}", FacilitatorConfig::parse(&served, "f.yaml").unwrap());
        assert!(!shown.contains("59c6") && !shown.contains("4eC3"), "{shown}");
    }
    let error = parse(&with(&format!("ledger: \"{KEY}\""))).unwrap_err().to_string();
    assert!(error.contains("looks like a key") && !error.contains("59c6"), "{error}");
    assert_eq!(LedgerConfig::parse(KEY), None);
}
