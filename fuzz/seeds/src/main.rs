//! Writes what the corpora begin with, out of the known answers and the documents of this repository:
//! `cargo run -p x402-fuzz-seeds FOLDER`; what is committed of them is what `cargo fuzz cmin` leaves.
#![allow(missing_docs, reason = "a program exports nothing")]

mod gateway;

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Where the seeds go, and how many there are of the target that is written.
struct Seeds {
    folder: PathBuf,
    count: usize,
}

impl Seeds {
    fn put(&mut self, target: &str, bytes: impl AsRef<[u8]>) {
        self.write("seed", target, bytes.as_ref());
    }

    /// One that stays in the corpus though it reaches nothing new: the edge of a bound.
    fn keep(&mut self, target: &str, bytes: impl AsRef<[u8]>) {
        self.write("keep", target, bytes.as_ref());
    }

    fn write(&mut self, kind: &str, target: &str, bytes: &[u8]) {
        let folder = self.folder.join(target);
        fs::create_dir_all(&folder).unwrap();
        self.count += 1;
        fs::write(folder.join(format!("{kind}-{:04}", self.count)), bytes).unwrap();
    }
}

fn main() {
    let folder = std::env::args().nth(1).expect("the folder to write to").into();
    let mut seeds = Seeds { folder, count: 0 };
    put_payments(&mut seeds);
    put_facilitator(&mut seeds);
    put_heads(&mut seeds);
    put_dialect(&mut seeds);
    put_json(&mut seeds);
    put_money(&mut seeds);
    put_signatures(&mut seeds);
    put_conditions(&mut seeds);
    keep_escapes(&mut seeds);
    put_configs(&mut seeds);
    put_answers(&mut seeds);
    gateway::put_tokens(&mut seeds);
    gateway::put_frames(&mut seeds);
    gateway::put_usage(&mut seeds);
    gateway::put_requests(&mut seeds);
    println!("{} seeds", seeds.count);
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn vectors(name: &str) -> Value {
    let text = fs::read_to_string(root().join("tests/vectors").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().unwrap()
}

/// A request at some time, with the word of a signer.
fn put_gate(seeds: &mut Seeds, field: &str, value: &str) {
    for prefix in [[60, 26, 50], [61, 24, 100], [200, 2, 0]] {
        let request = format!("GET /paid HTTP/1.1\r\n{field}: {value}\r\n\r\n");
        seeds.put("gate", [&prefix[..], request.as_bytes()].concat());
    }
}

fn put_payments(seeds: &mut Seeds) {
    for vector in list(&vectors("sdk.json"), "vectors") {
        let outputs = &vector["outputs"];
        let (target, field) = match vector["kind"].as_str() {
            Some("v1-payment") => ("v1", "X-PAYMENT"),
            Some("v2-payment") => ("v2", "PAYMENT-SIGNATURE"),
            Some("payment-response") => {
                seeds.put("facilitator", outputs["json"].as_str().unwrap());
                continue;
            }
            _ => continue,
        };
        seeds.put(target, outputs["paymentPayloadJson"].as_str().unwrap());
        let header = outputs["header"]["value"].as_str().unwrap();
        seeds.put("base64", header);
        put_gate(seeds, field, header);
        let terms = ["body402Json", "paymentRequiredJson"].map(|key| outputs[key].as_str());
        terms.into_iter().flatten().for_each(|terms| seeds.put("requirements", terms));
    }
}

fn put_facilitator(seeds: &mut Seeds) {
    for case in list(&vectors("sdk.json"), "facilitatorCases") {
        let request = json!({
            "paymentPayload": case["paymentPayload"],
            "paymentRequirements": case["paymentRequirements"],
        });
        seeds.put("facilitator", request.to_string());
        seeds.put("facilitator", case["expected"].to_string());
    }
    seeds.put("facilitator", r#"{"kinds":[{"x402Version":2,"scheme":"upto","network":"eip155:1","extra":{"facilitatorAddress":"0x70997970C51812dc3A010C7d01b50e0d17dc79C8"}}],"extensions":["a"],"signers":{"eip155:*":["0x"]}}"#);
}

fn put_heads(seeds: &mut Seeds) {
    let sdk = vectors("sdk.json");
    for case in list(&sdk["httpCases"], "cases").iter().chain(list(&sdk["httpCasesV1"], "cases")) {
        let (request, response) = (&case["request"], &case["response"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut head =
            format!("{} {} HTTP/1.1\r\n", text(&request["method"]), text(&request["path"]));
        for (name, value) in request["headers"].as_object().into_iter().flatten() {
            head.push_str(&format!("{name}: {}\r\n", text(value)));
        }
        seeds.put("head", format!("{head}\r\n"));
        let mut head = format!("HTTP/1.1 {} Any\r\n", response["status"]);
        for line in response["headers"].as_array().into_iter().flatten() {
            head.push_str(&format!("{}\r\n", text(line)));
        }
        seeds.put("head", format!("{head}\r\n"));
    }
    seeds.put("head", "POST /x HTTP/1.0\nHost: a\nX-Payment-Nonce:\t1 \n\nbody");
    seeds.put("head", "\r\n\r\nGET * HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
}

const PACKED: &str = "X-Payment-Signature: 0x70997970c51812dc3a010c7d01b50e0d17dc79c80000000000000000000000006ab13bbc6bbcea1b56c9ea331993d345ceb3ec31f20b82091a8cc73edf2ee48271e928b652efbe4f2d712c460704055554a2ea888240b656b0e88c4601a96d596c3a637f1b";
const PLAIN: &str = "X-Payment-Signature: 0x6bbcea1b56c9ea331993d345ceb3ec31f20b82091a8cc73edf2ee48271e928b652efbe4f2d712c460704055554a2ea888240b656b0e88c4601a96d596c3a637f1b\nX-Payment-From: 0x70997970C51812dc3A010C7d01b50e0d17dc79C8\nX-Payment-Valid-After: 0\nX-Payment-Valid-Before: 1790000060";

fn put_dialect(seeds: &mut Seeds) {
    for signature in [PACKED, PLAIN, "X-Payment-Signature: 0x00"] {
        for (network, asset, nonce) in [
            ("ethereum", "USDC", "12345"),
            ("base-sepolia", "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "0"),
            (
                "eip155:10",
                "USDC",
                "0x1111111111111111111111111111111111111111111111111111111111111111",
            ),
        ] {
            let fields = format!(
                "{signature}\nX-Payment-Amount: 0.01\nX-Payment-Asset: {asset}\nX-Payment-Nonce: {nonce}\nX-Payment-Network: {network}"
            );
            seeds.put("headers", &fields);
            let beside = "X-Payment-From: 0x70997970C51812dc3A010C7d01b50e0d17dc79C8\nX-Payment-Valid-After: 0\nX-Payment-Valid-Before: 1790000060";
            if signature == PACKED {
                seeds.keep("headers", format!("{fields}\n{beside}"));
            }
            let request = format!("POST / HTTP/1.1\r\n{}\r\n\r\n", fields.replace('\n', "\r\n"));
            seeds.put("head", &request);
            seeds.put("gate", [&b"\x3c\x1a\x00"[..], request.as_bytes()].concat());
            seeds.put("challenge", format!(
                "X-Payment-Required: true\nX-Payment-Amount: 0.01\nX-Payment-Asset: {asset}\nX-Payment-Network: {network}\nX-Payment-Recipient: 0x209693Bc6afc0C5328bA36FaF03C514EF312287C\nX-Payment-Timeout: 60\nX-Payment-Error: 402.2"
            ));
            [network, asset, nonce].iter().for_each(|text| seeds.put("scalars", text));
        }
    }
    seeds.put("scalars", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed");
    seeds.put(
        "scalars",
        "115792089237316195423570985008687907853269984665640564039457584007913129639935",
    );
}

fn put_json(seeds: &mut Seeds) {
    let suite = fs::read_to_string(root().join("tests/tests/core/json_test_suite.json")).unwrap();
    let suite: Value = serde_json::from_str(&suite).unwrap();
    for text in suite.as_object().unwrap().values() {
        seeds.put("json", STANDARD.decode(text.as_str().unwrap()).unwrap());
        seeds.put("base64", text.as_str().unwrap());
    }
    for two in [
        "{\"a\":1,\"b\":[1,2]}\0{\"b\":[1.0,2e0],\"a\":1}",
        "\"\\u0061\\/\"\0\"a/\"",
        "1e400\x001e500",
    ] {
        seeds.put("json", two);
    }
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    [16, 17].iter().for_each(|depth| seeds.keep("json", nested(*depth)));
    let members = |count: usize| {
        let members: Vec<_> = (0..count).map(|index| format!("\"{index}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    [128, 129].iter().for_each(|count| seeds.keep("json", members(*count)));
}

fn put_money(seeds: &mut Seeds) {
    for vector in list(&vectors("prices.json"), "vectors") {
        let decimals = vector["decimals"].as_u64().unwrap_or(6).to_be_bytes()[7];
        let price = vector["price"].as_str().unwrap_or_default();
        let price = [price, price.trim_start_matches('$')];
        for price in price {
            seeds.put("price", [&[decimals][..], &7_u64.to_be_bytes(), price.as_bytes()].concat());
        }
    }
    for vector in list(&vectors("price_products.json"), "vectors") {
        let text = |key: &str| vector[key].as_str().unwrap();
        let quantity: u64 = text("quantity").parse().unwrap_or(u64::MAX);
        let decimals = vector["decimals"].as_u64().unwrap().to_be_bytes()[7];
        let price = format!("{}\n0.{}1", text("unit_price"), "0".repeat(60));
        seeds.put("price", [&[decimals][..], &quantity.to_be_bytes(), price.as_bytes()].concat());
        for model in 0..4 {
            let (prefix, usage) = ([model, decimals, 0b101], [quantity, 7, quantity]);
            let usage: Vec<u8> = usage.iter().flat_map(|number| number.to_be_bytes()).collect();
            let lines = format!("{}\n0.0003\n0.001\n500\n1.5\n2.0\n0.25", text("unit_price"));
            seeds.put("tariff", [&prefix[..], &usage, lines.as_bytes()].concat());
        }
    }
    for vector in list(&vectors("numbers.json"), "vectors") {
        let text = vector["json"].as_str().unwrap();
        seeds.put("scalars", text.trim_matches('"'));
        seeds.put("json", text);
    }
}

fn put_signatures(seeds: &mut Seeds) {
    let bytes = |value: &Value| {
        let text = value.as_str().unwrap().trim_start_matches("0x").to_owned();
        (0..text.len() / 2)
            .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
            .collect::<Vec<_>>()
    };
    for vector in list(&vectors("recover_eth.json"), "vectors") {
        let (Some(_), Some(_)) = (vector["r"].as_str(), vector["s"].as_str()) else { continue };
        let v = vector["v"].as_u64().unwrap_or_default() as u8;
        let parts = [bytes(&vector["digest"]), bytes(&vector["r"]), bytes(&vector["s"]), vec![v]];
        seeds.put("recovery", parts.concat());
        seeds.put("recovery", [parts.concat(), bytes(&vector["r"])].concat());
    }
    for vector in list(&vectors("eip3009_valid.json"), "vectors") {
        let (domain, message) = (&vector["domain"], &vector["message"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let Ok(id) = text(&domain["chainId"]).parse::<u64>() else { continue };
        let number = |key: &str| {
            let number = text(&message[key]).parse::<num_bigint::BigUint>().unwrap().to_bytes_be();
            [vec![0; 32 - number.len()], number].concat()
        };
        let signature = vector.get("signature").map_or(vec![27; 65], bytes);
        let name = format!("{}\n{}", text(&domain["name"]), text(&domain["version"]));
        let parts = [
            id.to_be_bytes().to_vec(),
            bytes(&domain["verifyingContract"]),
            signature,
            number("value"),
            bytes(&message["from"]),
            bytes(&message["to"]),
            number("value"),
            number("validAfter"),
            number("validBefore"),
            bytes(&message["nonce"]),
            bytes(&domain["verifyingContract"]),
            bytes(&message["to"]),
            vec![id as u8],
            name.into_bytes(),
        ];
        seeds.put("digest", parts.concat());
    }
}

/// What the tests of the language say, out of their text: all that stands in quotes there.
fn put_conditions(seeds: &mut Seeds) {
    let text = fs::read_to_string(root().join("x402-core/src/condition.rs")).unwrap();
    let (_, tests) = text.split_once("mod tests").unwrap();
    for source in tests.split('"').skip(1).step_by(2).filter(|text| !text.contains('{')) {
        for (has_points, numbers) in
            [(0_u8, [0_u8, 5, 5, 0xdc, 0, 0]), (1, [2_u8, 5, 5, 0xc, 0x7f, 0])]
        {
            let facts = [&[has_points, 0b101][..], &numbers].concat();
            seeds.put("condition", [&facts[..], source.replace('\\', "").as_bytes()].concat());
        }
    }
    for source in [
        "n0 > 1000 and not f0",
        "n0 == n1 || t0 != 'a' && !f1",
        "(n0 > 4) == (n1 < 6)",
        "t0 < t1 or f2",
        "n0 >= 15.00 && n1 < -0.01",
        r#"t2 == "x\ny\\" or t1 == 'a\'b'"#,
        "!(f0 == f1) != true",
    ] {
        seeds.put(
            "condition",
            [&b"\x01\x2f\x00\x05\x05\xdc\xff\x00"[..], source.as_bytes()].concat(),
        );
        seeds.put(
            "condition",
            [&b"\x00\xd0\x00\x05\x05\xdc\xff\x00"[..], source.as_bytes()].concat(),
        );
    }
}

/// What the seeds of the other conditions lack: texts with escapes, in an order.
fn keep_escapes(seeds: &mut Seeds) {
    for choice in [b"\x00\x25", b"\x00\x92", b"\x00\xff"] {
        for source in [r"t0 < 'a\'b'", r#"t1 >= "b\\""#, r"t2 > '\n'"] {
            seeds.keep("condition", [&choice[..], &[0; 6], source.as_bytes()].concat());
        }
    }
}

/// The examples of README and of the module, and those of the tests.
fn put_configs(seeds: &mut Seeds) {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    for path in ["README.md", "SECURITY.md", "x402-std/src/config.rs"] {
        for block in read(path).split("```yaml\n").skip(1) {
            let (yaml, _) = block.split_once("```").unwrap();
            seeds.put("config", yaml);
        }
    }
    let tests = read("x402-std/src/config/tests.rs");
    let (_, minimal) = tests.split_once("r#\"").unwrap();
    let (minimal, _) = minimal.split_once("\"#").unwrap();
    seeds.put("config", minimal);
    let pricings = [
        "{model: per_token, input_price: \"0.00001\", output_price: \"0.00003\", currency: USDC, max_price: \"1\"}",
        "{model: per_minute, amount: \"0.10\", currency: USDC, minimum_minutes: 2}",
        "{model: dynamic, base_price: \"0.01\", currency: USDC, multipliers: [{condition: \"query_length > 1000\", factor: 2.0}]}",
    ];
    let (head, _) = minimal.split_once("routes:").unwrap();
    for pricing in pricings {
        let routes = format!(
            "routes:\n  - {{path: /a/*, methods: [GET, POST], settle: after, pricing: {pricing}}}\n"
        );
        seeds.put("config", format!("{head}{routes}"));
    }
    for file in ["broken", "more"] {
        let tests = read(&format!("x402-std/src/config/tests/{file}.rs"));
        for line in tests.split('"').skip(1).step_by(2).filter(|text| text.contains(": ")).take(60)
        {
            let line = line.replace("\\n", "\n").replace('\\', "");
            let key = line.split_inclusive(':').next().unwrap_or_default().to_owned();
            let with = minimal.lines().map(|old| if old.starts_with(&key) { &*line } else { old });
            seeds.put("config", with.collect::<Vec<_>>().join("\n"));
        }
    }
    seeds.put("config", "listen: 127.0.0.1:4022\nledger: memory\ntoken_file: t\nchains:\n  - network: base-sepolia\n    rpc: http://127.0.0.1:8545\n    key_file: k\n    assets: [USDC]\n");
}

/// What a node says in turn, to each kind of question.
fn put_answers(seeds: &mut Seeds) {
    let word = |digits: &str| format!("\"0x{digits:0>64}\"");
    let [payer, payee] =
        ["1111111111111111111111111111111111111111", "209693bc6afc0c5328ba36faf03c514ef312287c"];
    let token = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48";
    let topic = |name: &str| match name {
        "used" => "0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5",
        _ => "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef",
    };
    let (hash, nonce) = ("33".repeat(32), "22".repeat(32));
    let logs = format!(
        r#"[{{"address":"{token}","topics":["{}",{},"0x{nonce}"],"data":"0x"}},{{"address":"{token}","topics":["{}",{},{}],"data":{}}}]"#,
        topic("used"),
        word(payer),
        topic("moved"),
        word(payer),
        word(payee),
        word("2710")
    );
    let receipt = format!(
        r#"{{"transactionHash":"0x{hash}","blockHash":"0x{hash}","blockNumber":"0x10","to":"{token}","status":"0x1","gasUsed":"0x5208","effectiveGasPrice":"0x1","logs":{logs}}}"#
    );
    let block = |number: u64| {
        format!(
            r#"{{"number":"{number:#x}","timestamp":"{:#x}","hash":"0x{hash}","parentHash":"0x{nonce}","baseFeePerGas":"0x7"}}"#,
            1_789_999_000 + number
        )
    };
    let fees = r#"{"baseFeePerGas":["0x7","0x8"],"reward":[["0x1"]],"oldestBlock":"0x1","gasUsedRatio":[0.5]}"#;
    let revert = r#"!{"code":3,"message":"execution reverted: FiatTokenV2: invalid signature","data":"0x08c379a0"}"#;
    let used = format!(
        r#"[{{"address":"{token}","topics":["{}",{},"0x{nonce}"],"blockNumber":"0x10","blockHash":"0x{hash}","transactionHash":"0x{hash}"}}]"#,
        topic("used"),
        word(payer)
    );
    let batch = format!(
        "\"0x{}\"",
        ["20", "2", "40", "a0", "1", "40", "0", "1", "40", "0"]
            .map(|word| format!("{word:0>64}"))
            .concat()
    );
    let separator = "\"0x06c37168a7db5138defc7866392bb87a741f9b3d104deb5094588ce041cae335\"";
    let (yes, no, code) = (word("1"), word("0"), "\"0x6080\"".to_owned());
    let text = |lines: &[&str]| lines.join("\n");
    let scripts: Vec<(u8, String)> = vec![
        (0, text(&[&code, separator, &word("6"), &no])),
        (0, text(&[&code, &word("5"), &word("6"), &no])),
        (1, text(&[&code])),
        (2, text(&["\"0x\""])),
        (2, text(&[revert, &no, &word("ffffff"), "\"0x\""])),
        (2, text(&[revert, &yes])),
        (3, text(&[&batch])),
        (4, text(&[fees, "\"0x5\"", &format!("\"0x{hash}\"")])),
        (
            4,
            text(&[
                "\"0x5\"",
                fees,
                r#"!{"code":-32000,"message":"nonce too low"}"#,
                "\"0x6\"",
                fees,
            ]),
        ),
        (5, text(&[fees, "\"0x5\"", &format!("\"0x{hash}\"")])),
        (6, text(&[&receipt, &block(16), &block(16), &block(16)])),
        (6, text(&["null"])),
        (7, text(&[&block(20), &no])),
        (7, text(&[&block(2_000), &no, "\"0x1\""])),
        (7, text(&[&block(20), &yes, "\"0x1\"", &used, &block(16), &receipt, &block(20)])),
        (
            7,
            text(&[
                &block(3),
                &yes,
                "\"0x1\"",
                "[]",
                &block(2),
                &no,
                &block(3),
                &block(3),
                &yes,
                &no,
            ]),
        ),
    ];
    for (plan, answers) in scripts {
        seeds.put("rpc", [&[plan][..], b"\"0x1\"\n", answers.as_bytes()].concat());
    }
}
