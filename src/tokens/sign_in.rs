//! When the password may be shown to the cloud, and what a failed sign-in leaves behind.

use std::time::{Duration, SystemTime};

use super::CallFailure;
use crate::navilink::account::ApiError;

/// A rejected password is not shown to the cloud again for so long, restarts of the process included.
const REJECTION_COUNTS: Duration = Duration::from_secs(6 * 3600);

/// Decides whether a password may be shown that the cloud `rejected` at some time, so long ago. A human may
/// `bypass_rejection`.
///
/// # Errors
///
/// Returns when it was rejected and for how long it is not shown, in whole seconds.
pub fn may_sign_in(
    rejected: Option<(SystemTime, Duration)>,
    bypass_rejection: bool,
) -> Result<(), (SystemTime, Duration)> {
    match rejected {
        Some((at, age)) if age < REJECTION_COUNTS && !bypass_rejection => {
            Err((at, Duration::from_secs((REJECTION_COUNTS - age).as_secs())))
        }
        _ => Ok(()),
    }
}

/// What is to be done after a sign-in that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// It never reached the cloud: take it back from the budget.
    Refund,
    /// The cloud rejected email or password: remember that.
    RememberRejection,
    /// It counts, and nothing more.
    Count,
}

/// Says what a failed sign-in leaves behind.
pub fn after_failed_sign_in(error: &impl CallFailure) -> AfterFailure {
    if error.answer().is_some_and(ApiError::rejects_credentials) {
        AfterFailure::RememberRejection
    } else if error.reached_cloud() {
        AfterFailure::Count
    } else {
        AfterFailure::Refund
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejected_password_rests_for_six_hours_unless_the_cache_is_bypassed() {
        let at = SystemTime::UNIX_EPOCH;
        let hours = |n: u64| Duration::from_secs(n * 3600);
        assert_eq!(may_sign_in(None, false), Ok(()));
        assert_eq!(may_sign_in(Some((at, hours(2))), false), Err((at, hours(4))));
        assert_eq!(may_sign_in(Some((at, hours(2))), true), Ok(()));
        assert_eq!(may_sign_in(Some((at, hours(6))), false), Ok(()));
    }
}
