//! Wall time as a date and a time of day, in UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: i64 = 86_400;

/// A calendar date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Date {
    pub year: i64,
    pub month: i64,
    pub day: i64,
}

/// Returns whole seconds since 1970, 0 for anything earlier.
pub(super) fn seconds(wall: SystemTime) -> i64 {
    let since = wall.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Returns the number of the day since 1970.
pub(super) fn day_number(wall: SystemTime) -> i64 {
    seconds(wall).div_euclid(DAY)
}

/// Returns the hour of the day with its fraction, 0 up to 24.
pub(super) fn hour(wall: SystemTime) -> f64 {
    seconds(wall).rem_euclid(DAY) as f64 / 3600.0
}

/// Returns the bit of this weekday in a `week` byte (protocol reference, section 5).
pub(super) fn week_bit(day_number: i64) -> i64 {
    let since_sunday = (day_number + 4).rem_euclid(7);
    1 << (7 - since_sunday)
}

/// Returns the date of a day counted from 1970, by the usual arithmetic on 400-year eras that begin in March.
pub(super) fn date(day_number: i64) -> Date {
    let shifted = day_number + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    Date { year, month, day: of_year - (153 * from_march + 2) / 5 + 1 }
}

/// Returns the number since 1970 of the first day of a month, the inverse of [`date`].
pub(super) fn first_of_month(year: i64, month: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Returns how many days a month has.
pub(super) fn days_in_month(year: i64, month: i64) -> i64 {
    let (next_year, next) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    first_of_month(next_year, next) - first_of_month(year, month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_agree_with_the_calendar() {
        assert_eq!(date(0), Date { year: 1970, month: 1, day: 1 });
        assert_eq!(date(19_782), Date { year: 2024, month: 2, day: 29 });
        assert_eq!(date(20_454), Date { year: 2026, month: 1, day: 1 });
        assert_eq!((days_in_month(2024, 2), days_in_month(2100, 2), days_in_month(2026, 12)), (29, 28, 31));
    }

    #[test]
    fn every_first_of_a_month_is_found_again() {
        for year in 1970..2400 {
            for month in 1..=12 {
                assert_eq!(date(first_of_month(year, month)), Date { year, month, day: 1 });
            }
        }
    }

    #[test]
    fn the_first_day_of_1970_was_a_thursday() {
        assert_eq!(week_bit(0), 8);
        assert_eq!(week_bit(3), 128, "Sunday");
        assert_eq!(week_bit(2), 2, "Saturday");
    }
}
