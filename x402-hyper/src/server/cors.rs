//! Whose pages may buy in a browser (CORS, in the Fetch standard), and how that is said.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use x402_std::config::{CorsConfig, CorsOrigins};

use super::dialect;

/// Which pages of other origins may ask for what has a price, pay, and read the answers
/// ([`PaymentLayer::cors`](super::PaymentLayer::cors)).
///
/// What the service behind says of that is replaced, in answers to what has a price; free ones stay its own, but for
/// requests that a gateway refuses unread.
#[derive(Clone, Debug)]
pub struct Cors(Option<Arc<Rules>>);

#[derive(Clone, Debug)]
struct Rules {
    origins: Origins,
    /// The fields that may be sent beside those of a payment; `None` for whichever are asked for.
    headers: Option<Vec<HeaderName>>,
    /// The fields that may be read, as `Access-Control-Expose-Headers`.
    exposed: HeaderValue,
}

#[derive(Clone, Debug)]
enum Origins {
    Any,
    Listed { origins: Vec<HeaderValue>, credentials: bool },
}

/// What is said of one request's answer.
#[derive(Debug)]
pub(super) struct Access {
    rules: Arc<Rules>,
    /// The origin that may read it, where that is one that is listed.
    origin: Option<HeaderValue>,
}

/// Every field by which a server speaks of CORS; the last two are of private networks.
const FIELDS: [&str; 8] = [
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-expose-headers",
    "access-control-max-age",
    "access-control-allow-private-network",
    "access-control-allow-local-network",
];

/// Of the names that a preflight asks for, so many are answered, each of so many letters at most: of a client's
/// own making there are a dozen.
const MAX_NAMES: usize = 64;
const MAX_NAME: usize = 64;

/// For how long, in seconds, a browser may keep what it was told in advance.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

impl Cors {
    /// Pages of every origin may buy, without the credentials that their browser has; they may send whichever
    /// fields they ask for. That is what a layer says unless it is told otherwise.
    #[must_use]
    pub fn any() -> Self {
        let exposed = dialect::EXPOSED;
        Self(Some(Arc::new(Rules { origins: Origins::Any, headers: None, exposed })))
    }

    /// Nothing is said. Preflights are requests like any other, and what the service behind says is passed on;
    /// of the layer's own answers pages of other origins can read none.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// As a seller's file has it.
    #[must_use]
    pub fn from_config(config: Option<&CorsConfig>) -> Self {
        let Some(config) = config else { return Self::off() };
        let names = |names: &[String]| {
            let names =
                names.iter().filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok());
            names.collect::<Vec<_>>()
        };
        let cors = match &config.origins {
            CorsOrigins::Any => Self::any(),
            CorsOrigins::Listed { origins, credentials } => {
                let origins =
                    origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
                let cors = Self::any().of_origins(origins);
                if *credentials { cors.with_credentials() } else { cors }
            }
        };
        let cors = cors.exposing(names(&config.expose));
        match &config.headers {
            Some(headers) => cors.allowing(names(headers)),
            None => cors,
        }
    }

    /// Pages of these origins alone, each as browsers send it in `Origin`: `https://app.example`.
    #[must_use]
    pub fn of_origins(self, origins: impl IntoIterator<Item = HeaderValue>) -> Self {
        let origins = origins.into_iter().collect();
        self.with(|rules| rules.origins = Origins::Listed { origins, credentials: false })
    }

    /// Pages may send what their browser knows of its user: cookies, and HTTP authentication. Of origins that
    /// are listed alone: with any origin this changes nothing, and browsers would not have it.
    #[must_use]
    pub fn with_credentials(self) -> Self {
        self.with(|rules| {
            if let Origins::Listed { credentials, .. } = &mut rules.origins {
                *credentials = true;
            }
        })
    }

    /// Pages may send these fields, and those of a payment, and no others.
    #[must_use]
    pub fn allowing(self, headers: impl IntoIterator<Item = HeaderName>) -> Self {
        let headers = headers.into_iter().collect();
        self.with(|rules| rules.headers = Some(headers))
    }

    /// Pages may read these fields of an answer, too.
    #[must_use]
    pub fn exposing(self, headers: impl IntoIterator<Item = HeaderName>) -> Self {
        self.with(|rules| rules.exposed = listed(&rules.exposed, headers))
    }

    fn with(self, change: impl FnOnce(&mut Rules)) -> Self {
        Self(self.0.map(|mut rules| {
            change(Arc::make_mut(&mut rules));
            rules
        }))
    }

    /// What is said of the answer to a request; `None` where that is left to others.
    pub(super) fn access(&self, request: &HeaderMap) -> Option<Access> {
        let rules = self.0.as_ref()?;
        Some(Access { rules: Arc::clone(rules), origin: rules.origin(request) })
    }

    /// The answer to a browser's question whether a script may pay here, by that method: it costs nothing to
    /// ask. `None` where it is for others to answer.
    pub(super) fn preflight(
        &self,
        request: &HeaderMap,
        method: HeaderValue,
    ) -> Option<Response<Bytes>> {
        let access = self.access(request)?;
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = StatusCode::NO_CONTENT;
        let headers = answer.headers_mut();
        access.tell(headers);
        headers.remove(ACCESS_CONTROL_EXPOSE_HEADERS);
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, method);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, access.rules.allowed(request));
        headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        let asked = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
        headers.insert(VARY, HeaderValue::from_static(asked));
        Some(answer)
    }
}

impl Default for Cors {
    fn default() -> Self {
        Self::any()
    }
}

impl Rules {
    /// The origin of a request, where it is one that is listed.
    fn origin(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let Origins::Listed { origins, .. } = &self.origins else { return None };
        let mut asked = request.get_all(ORIGIN).iter();
        let (origin, None) = (asked.next()?, asked.next()) else { return None };
        origins.contains(origin).then(|| origin.clone())
    }

    /// The fields that may be sent. All that a payment needs are among them: the browser keeps the answer, and
    /// who has asked for the price need not ask in advance again to pay it.
    fn allowed(&self, request: &HeaderMap) -> HeaderValue {
        match &self.headers {
            Some(headers) => listed(&dialect::OF_PAYMENT, headers.iter().cloned()),
            None => {
                let usual = listed(&dialect::OF_PAYMENT, dialect::USUAL);
                listed(&usual, asked(request))
            }
        }
    }
}

/// The names of fields that a preflight asks for, as far as they are some, and not too many.
fn asked(request: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    let lines = request.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter();
    let names = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    let names = names.map(str::trim).filter(|name| name.len() <= MAX_NAME).take(MAX_NAMES);
    names.filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
}

/// A list of names with some more, each once.
fn listed(list: &HeaderValue, more: impl IntoIterator<Item = HeaderName>) -> HeaderValue {
    let mut names = list.to_str().unwrap_or_default().to_owned();
    for name in more {
        let mut known = names.split(", ");
        if !known.any(|known| known.eq_ignore_ascii_case(name.as_str())) {
            names.push_str(", ");
            names.push_str(name.as_str());
        }
    }
    HeaderValue::try_from(names).unwrap_or_else(|_| list.clone())
}

impl Access {
    /// Says who may read an answer, in place of whatever its head says of that.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        // Most services say nothing of it, and one look at what they say is less than one for each name.
        if headers.keys().any(|name| name.as_str().starts_with("access-control-")) {
            for name in FIELDS {
                headers.remove(name);
            }
        }
        match (&self.rules.origins, &self.origin) {
            (Origins::Any, _) => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            (Origins::Listed { credentials, .. }, Some(origin)) => {
                headers.append(VARY, HeaderValue::from_static("Origin"));
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                if *credentials {
                    let yes = HeaderValue::from_static("true");
                    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
                }
            }
            // To a cache it is another answer than that for a page that may read it.
            (Origins::Listed { .. }, None) => {
                headers.append(VARY, HeaderValue::from_static("Origin"));
                return;
            }
        }
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, self.rules.exposed.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn listed_origins() -> Cors {
        let origins = ["https://a.example", "https://b.example"].map(HeaderValue::from_static);
        Cors::any().of_origins(origins)
    }

    fn told(cors: &Cors, origin: &str) -> HeaderMap {
        let mut answer = headers(&[
            ("access-control-allow-origin", "https://upstream.example"),
            ("access-control-allow-origin", "*"),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-private-network", "true"),
            ("access-control-expose-headers", "X-Upstream"),
            ("vary", "Accept"),
        ]);
        let request = headers(&[("origin", origin)]);
        cors.access(&request).unwrap().tell(&mut answer);
        answer
    }

    fn all<'h>(headers: &'h HeaderMap, name: &str) -> Vec<&'h str> {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    #[test]
    fn what_the_service_says_is_replaced() {
        let answer = told(&Cors::any(), "https://a.example");
        assert_eq!(all(&answer, "access-control-allow-origin"), ["*"]);
        assert_eq!(all(&answer, "access-control-expose-headers").len(), 1);
        assert_eq!(all(&answer, "vary"), ["Accept"]);
        let names: Vec<_> = answer.keys().map(HeaderName::as_str).collect();
        assert_eq!(names.len(), 3, "{names:?}");
    }

    #[test]
    fn origins_that_are_listed_are_told_so_and_others_nothing() {
        for (cors, credentials) in
            [(listed_origins(), vec![]), (listed_origins().with_credentials(), vec!["true"])]
        {
            let answer = told(&cors, "https://b.example");
            assert_eq!(all(&answer, "access-control-allow-origin"), ["https://b.example"]);
            assert_eq!(all(&answer, "access-control-allow-credentials"), credentials);
            assert_eq!(all(&answer, "vary"), ["Accept", "Origin"]);
            for other in
                ["https://c.example", "https://b.example.evil", "HTTPS://b.example", "null"]
            {
                let answer = told(&cors, other);
                assert_eq!(answer.len(), 2, "{other} {answer:?}");
                assert_eq!(all(&answer, "vary"), ["Accept", "Origin"]);
            }
        }
        let twice = headers(&[("origin", "https://a.example"), ("origin", "https://c.example")]);
        assert!(listed_origins().access(&twice).unwrap().origin.is_none());
    }

    #[test]
    fn credentials_never_go_to_any_origin() {
        let answer = told(&Cors::any().with_credentials(), "https://a.example");
        assert!(!answer.contains_key("access-control-allow-credentials"));
    }

    #[test]
    fn a_preflight_allows_what_it_asks_for_within_bounds() {
        let many = (0..200).map(|i| format!("x-m{i}")).collect::<Vec<_>>().join(",");
        let long = "x".repeat(MAX_NAME + 1);
        let preflight = |cors: &Cors, asked: &str| {
            let request = headers(&[
                ("origin", "https://a.example"),
                ("access-control-request-headers", asked),
            ]);
            let answer = cors.preflight(&request, HeaderValue::from_static("POST")).unwrap();
            assert_eq!(answer.status(), 204);
            answer.headers()["access-control-allow-headers"].to_str().unwrap().to_owned()
        };
        let usual = preflight(&Cors::any(), "");
        for name in ["X-Payment-Signature", "X-PAYMENT", "PAYMENT-SIGNATURE", "Idempotency-Key"] {
            assert!(usual.split(", ").any(|allowed| allowed == name), "{name} in {usual}");
        }
        for (asked, more) in [
            (
                "x-stainless-lang, anthropic-version,x-api-key",
                "x-stainless-lang, anthropic-version, x-api-key",
            ),
            ("x-payment,content-type,x-a,x-a", "x-a"),
            (&format!("{long}, x-a"), "x-a"),
            ("x a, \", x-b", "x-b"),
            ("*", "*"),
        ] {
            assert_eq!(preflight(&Cors::any(), asked), format!("{usual}, {more}"), "{asked}");
        }
        let count = preflight(&Cors::any(), &many).split(", ").count();
        assert_eq!(count, usual.split(", ").count() + MAX_NAMES);
        let two = Cors::any().allowing(["x-a", "content-type"].map(HeaderName::from_static));
        let payments = dialect::OF_PAYMENT.to_str().unwrap().to_owned();
        assert_eq!(preflight(&two, "x-b"), format!("{payments}, x-a, content-type"));
    }

    #[test]
    fn more_fields_can_be_exposed() {
        let cors = Cors::any().exposing([HeaderName::from_static("x-request-id")]);
        let answer = told(&cors, "https://a.example");
        let exposed = all(&answer, "access-control-expose-headers").concat();
        assert!(exposed.contains("X-Payment-Transaction") && exposed.ends_with(", x-request-id"));
    }

    #[test]
    fn where_it_is_off_nothing_is_said() {
        let cors = Cors::off().of_origins([]).with_credentials().allowing([]).exposing([]);
        let request = headers(&[("origin", "https://a.example")]);
        assert!(cors.access(&request).is_none());
        assert!(cors.preflight(&request, HeaderValue::from_static("POST")).is_none());
    }

    #[test]
    fn a_file_says_what_a_builder_does() {
        let any = Cors::from_config(Some(&CorsConfig::default()));
        assert_eq!(format!("{any:?}"), format!("{:?}", Cors::any()));
        assert!(Cors::from_config(None).0.is_none());
        let config = CorsConfig {
            origins: CorsOrigins::Listed {
                origins: vec!["https://a.example".into(), "https://b.example".into()],
                credentials: true,
            },
            headers: Some(vec!["X-A".into()]),
            expose: vec!["X-B".into()],
        };
        let built = listed_origins()
            .with_credentials()
            .allowing([HeaderName::from_static("x-a")])
            .exposing([HeaderName::from_static("x-b")]);
        assert_eq!(format!("{:?}", Cors::from_config(Some(&config))), format!("{built:?}"));
    }
}
