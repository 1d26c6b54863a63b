//! Whose pages may buy in a browser.

use super::broken::expect;
use super::*;

fn cors(value: &str) -> String {
    MINIMAL.replace("default:", &format!("cors: {value}\ndefault:"))
}

fn parsed(value: &str) -> Option<CorsConfig> {
    parse(&cors(value)).unwrap().cors
}

#[test]
fn anybodys_pages_may_buy_unless_the_file_names_them() {
    let any = CorsConfig { origins: CorsOrigins::Any, headers: None, expose: vec![] };
    assert_eq!(parse(MINIMAL).unwrap().cors, Some(any.clone()));
    for value in ["{}", "{origins: any}", "{credentials: false}"] {
        assert_eq!(parsed(value), Some(any.clone()), "{value}");
    }
    for value in ["off", "\"off\"", "false"] {
        assert_eq!(parsed(value), None, "{value}");
    }
    let value = r#"{origins: ["https://app.example", "http://[::1]:8000", "chrome-extension://abc", "http://[fe80::0]"],
      credentials: true, headers: [content-type, X-A], expose: [X-Request-Id]}"#;
    let origins =
        ["https://app.example", "http://[::1]:8000", "chrome-extension://abc", "http://[fe80::0]"];
    let origins = origins.map(str::to_owned).to_vec();
    let expected = CorsConfig {
        origins: CorsOrigins::Listed { origins, credentials: true },
        headers: Some(vec!["content-type".into(), "X-A".into()]),
        expose: vec!["X-Request-Id".into()],
    };
    assert_eq!(parsed(value), Some(expected));
}

#[test]
fn credentials_need_origins_that_are_named() {
    let word = "credentials go to origins that are named";
    expect(&cors("{credentials: true}"), 14, word);
    expect(&cors("{origins: any, credentials: true}"), 14, word);
    expect(&cors("{origins: [\"https://a.example\"], credentials: yes}"), 14, "true nor false");
}

#[test]
fn an_origin_that_no_browser_sends_is_refused_with_its_cure() {
    for (origin, word) in [
        ("*", "origins: any"),
        ("null", "anybody's"),
        ("app.example", "is no origin"),
        ("https://app.example/", "nor a slash"),
        ("https://app.example/a", "browsers send no path"),
        ("https://App.example", "as browsers do: https://app.example"),
        ("https://app.example:443", "browsers leave out"),
        ("http://app.example:80", "browsers leave out"),
        ("https://", "is no origin"),
        ("https://a b", "is no origin"),
        ("https://a:0", "is no origin"),
        ("https://a:065", "is no origin"),
        ("https://a:65536", "is no origin"),
        ("https://a:", "is no origin"),
        ("https://::1", "is no origin"),
        ("http://[::1", "is no origin"),
        ("http://a]b", "is no origin"),
        ("http://[zz::1]", "is no origin"),
        ("https://u@a", "is no origin"),
        ("https://bücher.example", "is no origin"),
        ("1s://a", "is no origin"),
    ] {
        expect(&cors(&format!("{{origins: [\"{origin}\"]}}")), 14, word);
    }
    expect(&cors("{origins: all}"), 14, "write any, or a list");
    expect(&cors("on"), 14, "unknown rule of cors");
    expect(&cors("\"on\""), 14, "unknown rule of cors");
    expect(&cors("{origin: any}"), 14, "unknown key `origin`");
}

#[test]
fn fields_are_named_one_by_one() {
    for value in
        ["{headers: [\"*\"]}", "{headers: [\"a, b\"]}", "{expose: [\"\"]}", "{expose: [\"a:\"]}"]
    {
        expect(&cors(value), 14, "no name of a field");
    }
}
