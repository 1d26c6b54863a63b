//! What a server puts up with.

use super::broken::expect;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A file with these lines before its routes, whose first route has this member.
fn limited(lines: &str, member: &str) -> String {
    let routes = format!(
        "  - path: /a\n    pricing: {{model: per_request, amount: '0.01', currency: USDC}}\n    {member}\n  - {{path: /b, pricing: free}}"
    );
    with_routes(&routes).replace("routes:\n", &format!("{lines}\nroutes:\n"))
}

#[test]
fn limits_are_keys_and_a_route_wins() {
    let lines = "answer_timeout: 300\nidle_timeout: 40\nbody_time: 5\nbody_limit: 1000\n\
                 kept_answer: 2048\nhead_limit: 8192\nconnections: 10\n\
                 trusted_proxies: [10.0.0.0/8, '2001:db8::1', '::ffff:192.0.2.7']";
    let config = parse(&limited(lines, "answer_timeout: 600")).unwrap();
    let Limits { request, head, seats } = &config.limits;
    let expected = RequestLimits {
        answer_timeout: Some(SECOND * 300),
        idle_timeout: Some(SECOND * 40),
        body_time: Some(SECOND * 5),
        body_limit: Some(1000),
        kept_answer: Some(2048),
    };
    assert_eq!(*request, expected);
    assert_eq!((*head, seats.connections), (Some(8192), Some(10)));
    let trusts = |address: &str| {
        let address: core::net::IpAddr = address.parse().unwrap();
        seats.trusted_proxies.iter().any(|network| network.contains(&address))
    };
    for (address, is_trusted) in [
        ("10.1.2.3", true),
        ("11.0.0.1", false),
        ("2001:db8::1", true),
        ("2001:db8::2", false),
        ("192.0.2.7", true),
        ("192.0.2.8", false),
    ] {
        assert_eq!(trusts(address), is_trusted, "{address}");
    }
    let [a, b] = &*config.routes else { panic!("{:?}", config.routes) };
    let limits = a.limits.or(*request);
    assert_eq!(limits, RequestLimits { answer_timeout: Some(SECOND * 600), ..expected });
    assert_eq!(b.limits, RequestLimits::default());
    let all = "answer_timeout: 1\n    idle_timeout: 2\n    body_time: 3\n    body_limit: 4\n    kept_answer: 1024";
    let limits = parse(&limited("", all)).unwrap().routes[0].limits;
    let times = [limits.answer_timeout, limits.idle_timeout, limits.body_time];
    assert_eq!(times, [Some(SECOND), Some(SECOND * 2), Some(SECOND * 3)]);
    assert_eq!((limits.body_limit, limits.kept_answer), (Some(4), Some(1024)));
    assert_eq!(parse(MINIMAL).unwrap().limits, Limits::default());
}

#[test]
fn limits_are_whole_numbers_within_bounds() {
    for key in ["answer_timeout", "idle_timeout", "body_time", "body_limit", "kept_answer"] {
        for value in ["0", "-1", "1.5", "60s", "''", "99999999999999999999"] {
            expect(
                &limited(&format!("{key}: {value}"), "settle: first"),
                8,
                "write a whole number",
            );
            expect(&limited("", &format!("{key}: {value}")), 12, "write a whole number");
        }
    }
    for line in [
        "answer_timeout: 43201",
        "idle_timeout: 86401",
        "body_time: 3601",
        "body_limit: 1099511627777",
        "kept_answer: 1023",
        "kept_answer: 67108865",
        "head_limit: 8191",
        "head_limit: 1048577",
        "connections: 0",
        "connections: 65537",
    ] {
        expect(&limited(line, "settle: first"), 8, "write a whole number, from");
    }
    for (proxy, word) in [
        ("localhost", "no address of a proxy"),
        ("10.0.0.0/33", "no address of a proxy"),
        ("''", "no address of a proxy"),
        ("10.0.0.1/8", "longer than its prefix"),
        ("0.0.0.0/0", "is everybody"),
        ("'::ffff:10.0.0.0/104'", "IPv4 written as IPv6"),
    ] {
        expect(&limited(&format!("trusted_proxies: [{proxy}]"), "settle: first"), 8, word);
    }
    // Those of a server are no keys of a route.
    expect(&limited("", "connections: 10"), 12, "unknown key `connections`");
}

#[test]
fn where_the_money_moves_after_the_work_the_validity_covers_it() {
    let seconds = |lines: &str, member: &str| {
        parse(&limited(lines, member)).map(|config| config.routes[0].max_timeout_seconds)
    };
    for (lines, member, expected) in [
        ("", "settle: first", 60),
        ("answer_timeout: 900", "settle: first", 60),
        ("", "settle: after", 150),
        ("", "settle: later", 159),
        ("later: {max_delay: 10}", "settle: later", 183),
        ("answer_timeout: 20", "settle: after", 60),
        ("answer_timeout: 600", "settle: after", 630),
        ("answer_timeout: 600", "settle: after\n    answer_timeout: 100", 130),
        ("", "settle: after\n    timeout: 150", 150),
        ("", "settle: after\n    timeout: 3000", 3000),
        ("answer_timeout: 30", "settle: after\n    timeout: 60", 60),
    ] {
        assert_eq!(seconds(lines, member).unwrap(), expected, "{lines} {member}");
    }
    let short = limited("", "settle: after\n    timeout: 60");
    expect(
        &short,
        13,
        "write `timeout: 150` or more, or give the route an `answer_timeout: 30` or less",
    );
    expect(&limited("", "settle: later\n    timeout: 158"), 13, "may begin after 120");
    expect(
        &limited("", "settle: after\n    timeout: 20"),
        13,
        "help: write `timeout: 150` or more",
    );
}
