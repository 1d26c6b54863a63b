use crate::process::run;

const README: &str = include_str!("../../../../README.md");

const FILE: &str = r#"
listen: 127.0.0.1:0
upstream: http://127.0.0.1:3000
pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
network: ethereum
asset: USDC
chain: {rpc: "http://127.0.0.1:8545", key_file: ./settler.key}
ledger: memory
routes:
  - path: /api/analyze
    pricing: {model: "per_request", amount: "0.01", currency: "USDC"}
  - path: /v1/chat
    pricing: {model: "per_token", input_price: "0.00001", output_price: "0.00003", currency: "USDC"}
  - path: /stream
    pricing: {model: "per_minute", amount: "0.10", currency: "USDC", minimum_minutes: 1}
  - path: /api/browse
    pricing:
      model: "dynamic"
      base_price: "0.01"
      multipliers:
        - {condition: "query_length > 1000", multiplier: 2.0}
        - {condition: "requires_browser", multiplier: 1.5}
  - {path: /health, pricing: free}
"#;

fn file() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x402.yaml");
    std::fs::write(&path, FILE).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

fn price(arguments: &[&str]) -> String {
    let (_folder, path) = file();
    run(&[&["price", "--config", &path], arguments].concat()).succeeded()
}

/// The words of a line as a shell has them, where quotation marks are single ones.
fn words(line: &str) -> Vec<String> {
    let parts = line.split('\'').enumerate();
    let words = parts.flat_map(|(number, part)| match number % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
        _ => vec![part.to_owned()],
    });
    words.collect()
}

#[test]
fn what_readme_shows_is_what_is_printed() {
    let (_folder, path) = file();
    let mut shown = 0;
    for block in README.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap();
        for session in block.split("$ ").filter(|part| part.starts_with("x402 price ")) {
            let (line, expected) = session.split_once('\n').unwrap();
            let arguments: Vec<_> = words(line).into_iter().skip(1).collect();
            let arguments: Vec<_> = arguments
                .iter()
                .map(|word| if word == "x402.yaml" { path.as_str() } else { word.as_str() })
                .collect();
            assert_eq!(run(&arguments).succeeded(), expected, "{line}");
            shown += 1;
        }
    }
    assert_eq!(shown, 5);
}

/// The blocks are those of the file that is priced here.
#[test]
fn the_pricing_that_readme_shows_is_that_of_the_file() {
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let blocks = README.split("```yaml\n").skip(1).filter(|block| block.starts_with("pricing:"));
    let mut shown = 0;
    for block in blocks {
        let block = plain(block.split("```").next().unwrap());
        assert!(plain(FILE).contains(&block), "{block}");
        shown += 1;
    }
    assert_eq!(shown, 4);
}

#[test]
fn each_model_is_priced() {
    assert_eq!(price(&["POST", "/api/analyze"]), "0.01 USDC\n");
    assert_eq!(price(&["GET", "/health"]), "free\n");
    assert_eq!(price(&["GET", "/stream", "--minutes", "90"]), "9 USDC\n");
    let long = format!("{{\"query\": \"{}\", \"requires_browser\": true}}", "é".repeat(1001));
    assert_eq!(price(&["POST", "/api/browse", "-d", &long]), "0.03 USDC\n");
    assert_eq!(price(&["POST", "/api/browse"]), "0.01 USDC\n");
    let form =
        ["--content-type", "application/x-www-form-urlencoded", "-d", "requires_browser=true"];
    assert_eq!(price(&[&["POST", "/api/browse"][..], &form].concat()), "0.015 USDC\n");
    // Of what was not said the ceiling is told: four letters are a token, and an answer has 100.
    let body = r#"{"max_tokens": 100, "messages": []}"#;
    let ceiling = price(&["POST", "/v1/chat", "-d", body]);
    let tokens = body.len().div_ceil(4);
    assert_eq!(ceiling, format!("0.00{} USDC\n", 300 + tokens));
}

#[test]
fn what_has_no_price_says_why() {
    let (_folder, path) = file();
    let ended = run(&["price", "--config", &path, "GET", "/nowhere"]);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("no route"), "{}", ended.stderr);
    let body = r#"{"requires_browser": "yes"}"#;
    let ended = run(&["price", "--config", &path, "POST", "/api/browse", "-d", body]);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("^^^^"), "{}", ended.stderr);
    for (body, word) in [
        ("requires_browser=true", "send JSON as application/json, or a form"),
        (r#"{"Requires_Browser": true}"#, "can be read in two ways"),
    ] {
        let ended = run(&["price", "--config", &path, "POST", "/api/browse", "-d", body]);
        assert_eq!(ended.code, 2);
        assert!(ended.stderr.contains(word), "{}", ended.stderr);
    }
}

/// By hand: two of 0.01, one that failed; 0.015 for a browser, 0.01 for what has no body in the log;
/// 1000 tokens in and 500 out; two minutes and a second.
#[test]
fn a_log_of_requests_is_priced() {
    let (folder, path) = file();
    let log = folder.path().join("access.log");
    std::fs::write(
        &log,
        r#"127.0.0.1 - - [10/Oct/2026:13:55:36 +0000] "POST /api/analyze HTTP/1.1" 200 12 "-" "curl"
127.0.0.1 - - [10/Oct/2026:13:55:37 +0000] "POST /api/analyze HTTP/1.1" 200 12
127.0.0.1 - - [10/Oct/2026:13:55:38 +0000] "POST /api/analyze HTTP/1.1" 502 12
127.0.0.1 - - [10/Oct/2026:13:55:39 +0000] "GET /health HTTP/1.1" 200 2
127.0.0.1 - - [10/Oct/2026:13:55:39 +0000] "GET /nowhere HTTP/1.1" 404 2
127.0.0.1 - - [10/Oct/2026:13:55:39 +0000] "POST /api/browse?depth=2 HTTP/1.1" 200 2
{"method": "POST", "path": "/api/browse", "body": {"requires_browser": true}}
{"method": "POST", "path": "/api/browse", "body": {"requires_browser": "yes"}}
{"method": "POST", "path": "/v1/chat", "input_tokens": 1000, "output_tokens": 500, "status": 200}
{"method": "GET", "path": "/stream", "duration_ms": 121000}
nonsense
"#,
    )
    .unwrap();
    // A line that is no text is a line that cannot be read, and no more.
    let mut file = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
    std::io::Write::write_all(&mut file, b"\xff\xfe\n\n{\"method\": \"GET\", \"pa").unwrap();
    let ended = run(&["simulate", log.to_str().unwrap(), "--config", &path]);
    assert!(ended.stderr.contains("1 requests are for no route; 3 lines cannot be read"));
    let expected = "\
/api/analyze: 2 requests, 0.02 USDC (1 failed, 0 without a price)
/v1/chat: 1 requests, 0.025 USDC (0 failed, 0 without a price)
/stream: 1 requests, 0.3 USDC (0 failed, 0 without a price)
/api/browse: 2 requests, 0.025 USDC (0 failed, 1 without a price)
/health: 1 requests, 0 USDC (0 failed, 0 without a price)
in all: 0.37 USDC
";
    assert_eq!(ended.succeeded(), expected);
}
