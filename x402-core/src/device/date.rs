/// Reads an HTTP date in its one current form ([RFC 9110, section
/// 5.6.7](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7)), `Sun, 06 Nov 1994 08:49:37 GMT`, as
/// seconds since 1970. The day of the week is not looked at.
pub(super) fn seconds(text: &[u8]) -> Option<u64> {
    let [
        _,
        _,
        _,
        b',',
        b' ',
        d1,
        d0,
        b' ',
        month @ ..,
        b' ',
        y3,
        y2,
        y1,
        y0,
        b' ',
        h1,
        h0,
        b':',
        m1,
        m0,
        b':',
        s1,
        s0,
        b' ',
        b'G',
        b'M',
        b'T',
    ] = text
    else {
        return None;
    };
    let pair = |high: &u8, low: &u8| Some(10 * digit(*high)? + digit(*low)?);
    let (day, month) = (pair(d1, d0)?, month_of(month)?);
    let year = 100 * pair(y3, y2)? + pair(y1, y0)?;
    let (hour, minute, second) = (pair(h1, h0)?, pair(m1, m0)?, pair(s1, s0)?);
    // A leap second is the last one of its minute.
    if day == 0 || day > 31 || year < 1970 || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days_before(year, month) + day - 1;
    let in_day = (hour * 60 + minute) * 60 + second.min(59);
    Some(u64::from(days) * SECONDS_OF_DAY + u64::from(in_day))
}

const SECONDS_OF_DAY: u64 = 24 * 60 * 60;

// 32 bits hold every day of a year of four digits; of 64, a device divides in software.

fn digit(byte: u8) -> Option<u32> {
    byte.is_ascii_digit().then(|| u32::from(byte - b'0'))
}

/// From 0.
fn month_of(name: &[u8]) -> Option<u32> {
    let names = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    names.chunks(3).zip(0..).find(|(known, _)| *known == name).map(|(_, month)| month)
}

/// The days from 1970 to the begin of a month.
fn days_before(year: u32, month: u32) -> u32 {
    // The year begins in March, so that its last day is the one that comes and goes.
    let (year, month) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days = year * 365 + leap_days + (153 * month + 2) / 5;
    days - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_dates() {
        // The first from the RFC, the others by `date -d … +%s`.
        for (text, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Tue, 29 Feb 2000 23:59:59 GMT", 951_868_799),
            ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800),
            ("Mon, 21 Sep 2026 13:33:20 GMT", 1_789_997_600),
            ("Mon, 31 Dec 2125 23:59:60 GMT", 4_922_899_199),
        ] {
            assert_eq!(seconds(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn refuses_other_forms() {
        for text in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:3  GMT",
        ] {
            assert_eq!(seconds(text.as_bytes()), None, "{text}");
        }
    }
}
