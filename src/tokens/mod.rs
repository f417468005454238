//! The policy of tokens (protocol reference, section 1): which call renews what and when, what a refusal means, when the
//! password may be shown. Pure: it is told the time and the cloud's answers, and names the next call.
//!
//! - [`Tokens`] are what an account holds, each with its [`Age`].
//! - [`Renewing`] walks from one renewal call to the next, the cheapest that works.
//! - [`SharedRenewals`] spare the cloud what one link to it has renewed for the others.
//! - [`SignInBudget`], [`may_sign_in`] and [`after_failed_sign_in`] guard the password.

mod budget;
mod renewing;
mod shared;
mod sign_in;

use std::time::{Duration, Instant, SystemTime};

use secrecy::ExposeSecret;
use serde_json::Value;

pub use budget::SignInBudget;
pub use renewing::{Call, CallFailure, NoCredentials, Renewing};
pub use shared::{Obtained, SharedRenewals};
pub use sign_in::{AfterFailure, after_failed_sign_in, may_sign_in};

use crate::model::Moment;
use crate::navilink::account::{ApiError, AwsCredentials, Jwt, LONGEST_LIFE, read_aws, read_jwt, token_of};
pub use crate::supervisor::Renewal;

/// Tokens are renewed so long before they expire (protocol reference, section 1), or a quarter of a shorter life.
const AHEAD: Duration = Duration::from_secs(300);
/// Tokens that hardly live at all are not renewed more often.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);

/// What one account holds.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// The access and the refresh token.
    pub jwt: Jwt,
    /// The age of the access token.
    pub jwt_age: Age,
    /// The credentials of the MQTT session, and their age.
    pub aws: Option<(AwsCredentials, Age)>,
    /// `userType`, which one query wants.
    pub user_type: String,
}

impl Tokens {
    /// Reads the answer of `/user/sign-in`, which has everything.
    ///
    /// # Errors
    ///
    /// Names a member that is not there.
    pub fn from_sign_in(data: &Value, moment: Moment) -> Result<Self, ApiError> {
        let token = token_of(data);
        let jwt = read_jwt(token, None)?;
        let (credentials, life) = read_aws(token)?;
        let user_type = match data.pointer("/userInfo/userType") {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let jwt_age = Age::new(jwt.expires_in, moment);
        Ok(Self { jwt, jwt_age, aws: Some((credentials, Age::new(life, moment))), user_type })
    }

    /// Returns after how long the first of them is to be renewed.
    pub fn renew_in(&self, moment: Moment) -> Duration {
        let aws = self.aws.as_ref().map(|(_, age)| age.good_for(moment));
        let first = aws.into_iter().chain([self.jwt_age.good_for(moment)]).min();
        first.unwrap_or_default().max(RENEWAL_PAUSE)
    }

    /// Returns whether `other` has another refresh token, which another process of the same account has got.
    pub fn differ_from(&self, other: &Self) -> bool {
        self.jwt.refresh.expose_secret() != other.jwt.refresh.expose_secret()
    }
}

/// When something was issued, by both clocks, and how long it lives.
#[derive(Debug, Clone, Copy)]
pub struct Age {
    since: Instant,
    issued: SystemTime,
    life: Duration,
}

impl Age {
    /// Begins a life.
    pub fn new(life: Duration, moment: Moment) -> Self {
        Self { since: moment.now, issued: moment.wall, life }
    }

    /// Takes up what an earlier run was given, in seconds (since 1970). A clock that stands before the issue tells
    /// nothing: it counts as expired.
    pub fn restored(issued: u64, life: u64, moment: Moment) -> Self {
        let issued = SystemTime::UNIX_EPOCH + Duration::from_secs(issued.min(1 << 40));
        let life = Duration::from_secs(life).min(LONGEST_LIFE);
        let life = if moment.wall < issued { Duration::ZERO } else { life };
        Self { since: moment.now, issued, life }
    }

    /// Returns when it was issued.
    pub fn issued(&self) -> SystemTime {
        self.issued
    }

    /// Returns how long it lives from then on.
    pub fn life(&self) -> Duration {
        self.life
    }

    /// Returns whether it is to be renewed.
    pub fn is_expiring(&self, moment: Moment) -> bool {
        self.good_for(moment).is_zero()
    }

    /// Returns how long it will still do, by whichever clock saw more time pass: one of them stands still while the
    /// machine sleeps, the other one can be set.
    pub fn good_for(&self, moment: Moment) -> Duration {
        let age = moment.now.saturating_duration_since(self.since);
        let by_wall = moment.wall.duration_since(self.issued).unwrap_or_default();
        self.life.saturating_sub(AHEAD.min(self.life / 4)).saturating_sub(age.max(by_wall))
    }

    /// Ends the life: the cloud refused what looked good.
    pub fn expire(&mut self) {
        self.life = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(7200);
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn whichever_clock_saw_more_time_pass_decides() {
        let moment = Moment::start();
        let Moment { now, wall } = moment;
        let expires = |since, issued| Age { since, issued, life: LIFE }.is_expiring(moment);
        assert!(!expires(now, wall));
        assert!(!expires(now, wall - HOUR));
        assert!(expires(now, wall - 2 * HOUR), "the machine slept, or the clock was set forward");
        assert!(expires(now - 2 * HOUR, wall), "the clock was set back");
        assert!(expires(now - 2 * HOUR, wall + HOUR), "the clock was set back before the issue");
    }

    #[test]
    fn short_lives_are_not_renewed_all_the_time() {
        let Moment { now, wall } = Moment::start();
        let young = Age::new(Duration::from_secs(60), Moment { now, wall });
        let after = |seconds| Moment { now: now + Duration::from_secs(seconds), wall };
        assert!(!young.is_expiring(after(40)));
        assert!(young.is_expiring(after(46)));
    }

    #[test]
    fn what_is_restored_with_a_clock_before_its_issue_has_expired() {
        let moment = Moment { wall: SystemTime::UNIX_EPOCH + 2 * HOUR, ..Moment::start() };
        assert_eq!(Age::restored(7200, 7200, moment).good_for(moment), LIFE - AHEAD);
        assert!(Age::restored(7201, 7200, moment).is_expiring(moment));
        assert_eq!(Age::restored(u64::MAX, u64::MAX, moment).life(), Duration::ZERO);
        assert_eq!(Age::restored(0, u64::MAX, moment).life(), LONGEST_LIFE);
    }
}
