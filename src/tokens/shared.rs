//! What the links to the cloud share: tokens that were renewed for one of them are fresh for all.

use std::time::{Duration, Instant};

use super::Renewal;

/// What was renewed so lately is not renewed again for another link.
const LATELY: Duration = Duration::from_secs(60);

/// How credentials were got, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obtained {
    /// Without the password.
    Renewed(Renewal),
    /// With the password.
    SignedIn,
}

/// Remembers for which link credentials were got last, and how.
#[derive(Debug, Default)]
pub struct SharedRenewals(Option<(usize, Obtained, Instant)>);

impl SharedRenewals {
    /// Returns whether another link has got as much lately, so that this one need not.
    pub fn cover(&self, link: usize, wanted: Obtained, now: Instant) -> bool {
        self.fresh(now).is_some_and(|(by, had)| by != link && had >= wanted)
    }

    /// Records that credentials were got for a link.
    pub fn record(&mut self, link: usize, obtained: Obtained, now: Instant) {
        let is_more = self.fresh(now).is_none_or(|(by, had)| by == link || obtained >= had);
        if is_more && obtained > Obtained::Renewed(Renewal::IfExpiring) {
            self.0 = Some((link, obtained, now));
        }
    }

    fn fresh(&self, now: Instant) -> Option<(usize, Obtained)> {
        let (link, obtained, at) = self.0?;
        (now < at + LATELY).then_some((link, obtained))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Moment;

    #[test]
    fn what_one_link_has_got_lately_does_for_the_others_but_not_for_itself() {
        let now = Moment::start().now;
        let (refused, all) = (Obtained::Renewed(Renewal::Refused), Obtained::Renewed(Renewal::All));
        let mut shared = SharedRenewals::default();
        assert!(!shared.cover(1, refused, now));
        shared.record(0, refused, now);
        assert!(shared.cover(1, refused, now) && !shared.cover(1, all, now));
        assert!(!shared.cover(0, refused, now), "it has just tried them");
        shared.record(2, Obtained::SignedIn, now);
        shared.record(3, refused, now);
        assert!(shared.cover(1, Obtained::SignedIn, now) && shared.cover(1, all, now));
        assert!(!shared.cover(1, refused, now + LATELY));
        shared.record(2, Obtained::Renewed(Renewal::IfExpiring), now);
        assert!(shared.cover(1, Obtained::SignedIn, now), "nothing was renewed");
    }
}
