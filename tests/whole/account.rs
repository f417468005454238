//! The account in simulated time: real token policy and budget, and a REST API that renews, refuses or is in trouble.

use std::time::Duration;

use navien2mqtt::model::Moment;
use navien2mqtt::navilink::account::ApiError;
use navien2mqtt::supervisor::{Failure, Generation, Input, Reach, Reason};
use navien2mqtt::tokens::{
    AfterFailure, CallFailure, NoCredentials, Obtained, Renewal, Renewing, SharedRenewals, SignInBudget, Tokens,
    after_failed_sign_in,
};
use serde_json::{Value, json};

/// How the API answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Api {
    Good,
    /// No token is good for a renewal; the password is.
    RefusesRenewals,
    /// The gateway answers instead, sometimes with a 401.
    Trouble,
}

#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("nobody is there")]
    Unreachable,
}

impl CallFailure for CallError {
    fn answer(&self) -> Option<&ApiError> {
        match self {
            CallError::Api(error) => Some(error),
            CallError::Unreachable => None,
        }
    }

    fn reached_cloud(&self) -> bool {
        self.answer().is_some()
    }
}

pub struct Account {
    pub api: Api,
    tokens: Option<Tokens>,
    budget: SignInBudget,
    sign_ins: Vec<Duration>,
    /// How many there were.
    pub signed_in: usize,
    /// What one link renewed does for the others.
    shared: SharedRenewals,
    calls: u64,
}

impl Account {
    pub fn new() -> Self {
        Self {
            api: Api::Good,
            tokens: None,
            budget: SignInBudget::default(),
            sign_ins: Vec::new(),
            signed_in: 0,
            shared: SharedRenewals::default(),
            calls: 0,
        }
    }

    /// Answers [`Effect::EnsureCredentials`](navien2mqtt::supervisor::Effect::EnsureCredentials).
    pub fn ensure(&mut self, (link, g): (usize, Generation), renewal: Renewal, up: bool, moment: Moment) -> Input {
        let wanted = Obtained::Renewed(renewal);
        let renewal = if self.shared.cover(link, wanted, moment.now) { Renewal::IfExpiring } else { renewal };
        let Some(mut tokens) = self.tokens.take() else { return Input::SignInNeeded(g, None) };
        let mut renewing = Renewing::begin(renewal, &tokens, moment);
        let outcome = loop {
            let Some(_) = renewing.next() else { break Ok(()) };
            let answer = self.answer(up, self.api != Api::RefusesRenewals);
            if let Err(error) = renewing.answered(&mut tokens, answer, moment) {
                break Err(NoCredentials::from(error));
            }
        };
        let life = tokens.renew_in(moment);
        self.tokens = Some(tokens);
        match outcome {
            Ok(()) => {
                self.shared.record(link, Obtained::Renewed(renewal), moment.now);
                Input::CredentialsReady(g, life)
            }
            Err(NoCredentials::SignInNeeded(why)) => Input::SignInNeeded(g, why.map(|why| Reason::new("sign-in", why))),
            Err(NoCredentials::Failed(error)) => Input::StepFailed(g, failure(&error)),
        }
    }

    /// Answers [`Effect::SignIn`](navien2mqtt::supervisor::Effect::SignIn).
    pub fn sign_in(&mut self, (link, g): (usize, Generation), up: bool, now: Duration, moment: Moment) -> Input {
        if let Some(tokens) = self.tokens.as_ref().filter(|_| self.shared.cover(link, Obtained::SignedIn, moment.now)) {
            return Input::CredentialsReady(g, tokens.renew_in(moment));
        }
        if let Err(wait) = self.budget.claim(now) {
            return Input::SignInPostponed(g, wait);
        }
        let answer = self.answer(up, true);
        match &answer {
            Err(error) if after_failed_sign_in(error) == AfterFailure::Refund => self.budget.refund(now),
            _ => self.count(now),
        }
        match answer.and_then(|data| Ok(Tokens::from_sign_in(&data, moment)?)) {
            Ok(tokens) => {
                let life = tokens.renew_in(moment);
                self.tokens = Some(tokens);
                self.shared.record(link, Obtained::SignedIn, moment.now);
                Input::CredentialsReady(g, life)
            }
            Err(error) => Input::StepFailed(g, failure(&error)),
        }
    }

    /// At most one sign-in a minute and twelve an hour reach the cloud, whatever happens and however often we restart.
    fn count(&mut self, now: Duration) {
        self.signed_in += 1;
        assert!(self.sign_ins.last().is_none_or(|last| now >= *last + Duration::from_secs(60)));
        let hour_ago = now.saturating_sub(Duration::from_secs(3600));
        self.sign_ins.retain(|at| *at > hour_ago);
        self.sign_ins.push(now);
        assert!(self.sign_ins.len() <= 12, "{:?}", self.sign_ins);
    }

    fn answer(&mut self, up: bool, takes_it: bool) -> Result<Value, CallError> {
        self.calls += 1;
        if !up {
            return Err(CallError::Unreachable);
        }
        if self.api == Api::Trouble {
            let status = if self.calls.is_multiple_of(3) { 401 } else { 503 };
            return Err(ApiError::Http { status, code: None, message: String::new(), retry_after: None }.into());
        }
        if !takes_it {
            return Err(ApiError::Code { code: 401, message: "EXPIRED".into() }.into());
        }
        Ok(json!({ "token": {
            "accessToken": "a", "refreshToken": "r", "authenticationExpiresIn": 3600,
            "accessKeyId": "k", "secretKey": "s", "sessionToken": "t", "authorizationExpiresIn": 3600,
        } }))
    }
}

fn failure(error: &CallError) -> Failure {
    let reach = if error.reached_cloud() { Reach::Cloud } else { Reach::Nothing };
    Failure { reach, ..Failure::transient("rest", error.to_string()) }
}
