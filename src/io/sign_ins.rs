//! The one owner of the budget of sign-ins: every process that uses the state directory asks here.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::clock;
use super::state::StateDirectory;
use crate::tokens::SignInBudget;

/// A process that cannot keep count for others waits so long before its first sign-in: a supervisor that starts it
/// again and again must not make it ask the cloud again and again.
pub const UNCOUNTED_WAIT: Duration = Duration::from_secs(60);

/// Counts the sign-ins of all processes in the state directory, and those of this process in memory besides.
#[derive(Debug)]
pub struct SignIns {
    state: StateDirectory,
    started: Instant,
    own: Mutex<SignInBudget>,
}

/// A sign-in that was allowed and counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Claim {
    /// When, since the process began.
    own: Duration,
    /// When, since 1970.
    kept: Duration,
}

/// Why a sign-in is not allowed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooSoon {
    /// There were others.
    #[error("the next sign-in is allowed in {}: too many in a row could lock the account", in_words(.0))]
    Spent(Duration),
    /// Others cannot be counted.
    #[error("sign-ins cannot be counted, since the state directory cannot be written; the first one waits for {}", in_words(.0))]
    Uncounted(Duration),
}

impl TooSoon {
    /// Returns how long the sign-in must wait.
    pub fn wait(&self) -> Duration {
        match self {
            TooSoon::Spent(wait) | TooSoon::Uncounted(wait) => *wait,
        }
    }
}

fn in_words(wait: &Duration) -> String {
    humantime::format_duration(Duration::from_secs(wait.as_secs_f64().ceil() as u64)).to_string()
}

impl SignIns {
    /// Counts in this state directory.
    pub fn new(state: StateDirectory) -> Self {
        Self { state, started: clock::now(), own: Mutex::default() }
    }

    /// Counts a sign-in that is about to be made.
    ///
    /// # Errors
    ///
    /// When it is not allowed yet; nothing is counted then.
    pub async fn claim(&self) -> Result<Claim, TooSoon> {
        self.claim_at(clock::now(), clock::wall()).await
    }

    async fn claim_at(&self, now: Instant, wall: SystemTime) -> Result<Claim, TooSoon> {
        let claim = Claim { own: now.saturating_duration_since(self.started), kept: since_1970(wall) };
        // By a clock that nobody sets, which the times in the directory are not.
        self.own().claim(claim.own).map_err(TooSoon::Spent)?;
        let counted = self.state.update_sign_ins(claim.kept, move |budget| budget.claim(claim.kept)).await;
        let allowed = match counted {
            Ok(outcome) => outcome.map_err(TooSoon::Spent),
            Err(_) if claim.own < UNCOUNTED_WAIT => Err(TooSoon::Uncounted(UNCOUNTED_WAIT - claim.own)),
            Err(_) => Ok(()),
        };
        if allowed.is_err() {
            self.own().refund(claim.own);
        }
        allowed.map(|()| claim)
    }

    /// Takes back a sign-in that never reached the cloud.
    pub async fn refund(&self, claim: Claim) {
        self.own().refund(claim.own);
        let now = since_1970(clock::wall());
        // What cannot be written was not counted there either.
        let _ = self.state.update_sign_ins(now, move |budget| budget.refund(claim.kept)).await;
    }

    /// Returns how many sign-ins are left of this hour's.
    pub fn left(&self) -> usize {
        let own = self.own().left(clock::now().saturating_duration_since(self.started));
        own.min(self.state.sign_ins_left(since_1970(clock::wall())))
    }

    fn own(&self) -> MutexGuard<'_, SignInBudget> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn since_1970(at: SystemTime) -> Duration {
    at.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn two_processes_share_one_budget_and_a_refund_takes_back_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let process = || SignIns::new(StateDirectory::new(folder.path()));
        let (one, other) = (process(), process());
        let claim = one.claim().await.unwrap();
        let wait = other.claim().await.unwrap_err();
        assert!(matches!(wait, TooSoon::Spent(wait) if wait > Duration::from_secs(50)), "{wait:?}");
        one.refund(claim).await;
        assert!(process().claim().await.is_ok());
        assert!(one.claim().await.is_err());
    }

    #[tokio::test]
    async fn many_at_once_are_one() {
        let folder = tempfile::tempdir().unwrap();
        let claims = (0..20).map(|_| {
            let process = SignIns::new(StateDirectory::new(folder.path()));
            async move { process.claim().await.is_ok() }
        });
        let allowed = futures_util::future::join_all(claims).await;
        assert_eq!(allowed.iter().filter(|allowed| **allowed).count(), 1);
    }

    #[tokio::test]
    async fn fractions_of_seconds_are_kept_and_whole_ones_of_older_releases_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sign-ins.json");
        let now = since_1970(clock::wall());
        fs::write(&file, format!("[{}]", now.as_secs() - 30)).unwrap();
        let ledger = SignIns::new(StateDirectory::new(folder.path()));
        assert!(matches!(ledger.claim().await, Err(TooSoon::Spent(wait)) if wait <= Duration::from_secs(30)));
        fs::write(&file, format!("[{}]", now.as_secs() - 61)).unwrap();
        let at = ledger.claim().await.unwrap().kept;
        let kept: Vec<f64> = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert!((kept[1] - at.as_secs_f64()).abs() < 1e-5, "{kept:?} {at:?}");
    }

    #[tokio::test]
    async fn a_sign_in_of_the_future_is_taken_for_one_of_now_and_ages_from_then_on() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sign-ins.json");
        let now = since_1970(clock::wall());
        fs::write(&file, format!("[{}]", now.as_secs() + 1_000_000)).unwrap();
        let ledger = SignIns::new(StateDirectory::new(folder.path()));
        assert!(ledger.claim().await.is_err());
        let kept: Vec<f64> = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert!(kept[0] < now.as_secs_f64() + 10.0, "{kept:?}");
    }

    #[tokio::test]
    async fn a_clock_that_is_set_forward_does_not_bring_the_next_sign_in_of_a_process_forward() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = SignIns::new(StateDirectory::new(folder.path()));
        let (now, wall, day) = (clock::now(), clock::wall(), Duration::from_secs(86_400));
        ledger.claim_at(now, wall).await.unwrap();
        let minute = Duration::from_secs(60);
        assert_eq!(ledger.claim_at(now, wall + day).await, Err(TooSoon::Spent(minute)));
        ledger.claim_at(now + minute, wall + day).await.unwrap();
    }

    #[tokio::test]
    async fn without_a_state_directory_the_first_sign_in_waits_for_a_minute_and_the_next_ones_too() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let mut ledger = SignIns::new(StateDirectory::new(file.join("below")));
        assert!(matches!(ledger.claim().await, Err(TooSoon::Uncounted(wait)) if wait > Duration::from_secs(50)));
        ledger.started -= UNCOUNTED_WAIT;
        let claim = ledger.claim().await.unwrap();
        assert!(matches!(ledger.claim().await, Err(TooSoon::Spent(_))));
        ledger.refund(claim).await;
        assert!(ledger.claim().await.is_ok());
    }
}
