//! From one renewal call to the next.

use serde_json::Value;

use super::{Age, Renewal, Tokens};
use crate::model::Moment;
use crate::navilink::account::{ApiError, read_aws, read_jwt, token_of};

/// A call of the REST API that renews something without the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `POST /auth/refresh`: the access token.
    Refresh,
    /// `POST /auth/session/refresh`: the credentials of the MQTT session.
    SessionRefresh,
    /// `POST /user/secured-sign-in`: the same, where that one does not help.
    SecuredSignIn,
}

/// Why a call failed, as far as the policy asks.
pub trait CallFailure: From<ApiError> {
    /// Returns the API's answer, if there was one.
    fn answer(&self) -> Option<&ApiError>;
    /// Returns whether the cloud can have seen the request.
    fn reached_cloud(&self) -> bool;
}

/// Why there are no credentials without the password.
#[derive(Debug, thiserror::Error)]
pub enum NoCredentials<E: CallFailure + std::error::Error> {
    /// Only signing in can help; why the tokens are of no use, if there were any.
    #[error("{}", .0.as_deref().unwrap_or("there are no tokens yet"))]
    SignInNeeded(Option<String>),
    /// The cloud could not be asked; signing in would not help either.
    #[error(transparent)]
    Failed(E),
}

impl<E: CallFailure + std::error::Error> From<E> for NoCredentials<E> {
    /// Tells a refusal, which only signing in can overcome, from a cloud that could not be asked.
    fn from(error: E) -> Self {
        if error.answer().is_some_and(ApiError::refuses) {
            return Self::SignInNeeded(Some(format!("the tokens cannot be renewed: {error}")));
        }
        Self::Failed(error)
    }
}

/// A renewal under way.
#[derive(Debug)]
pub struct Renewing {
    next: Option<Call>,
    session_is_due: bool,
    jwt_is_fresh: bool,
}

impl Renewing {
    /// Begins a renewal of `tokens`; it may have nothing to do.
    pub fn begin(renewal: Renewal, tokens: &Tokens, moment: Moment) -> Self {
        let aws_is_good = tokens.aws.as_ref().is_some_and(|(_, age)| !age.is_expiring(moment));
        let session_is_due = renewal != Renewal::IfExpiring || !aws_is_good;
        let jwt_is_due = renewal == Renewal::All || tokens.jwt_age.is_expiring(moment);
        let next = if jwt_is_due { Some(Call::Refresh) } else { session_is_due.then_some(Call::SessionRefresh) };
        Self { next, session_is_due, jwt_is_fresh: false }
    }

    /// Begins a renewal of the access token alone, which a call was refused with.
    pub fn of_access_token() -> Self {
        Self { next: Some(Call::Refresh), session_is_due: false, jwt_is_fresh: false }
    }

    /// Returns the call to make; `None` when everything is renewed.
    pub fn next(&self) -> Option<Call> {
        self.next
    }

    /// Takes the answer to the call that was named last, and puts what it brings into `tokens`.
    ///
    /// # Errors
    ///
    /// Returns the failure after which no other call can help; the renewal is over.
    pub fn answered<E: CallFailure>(
        &mut self,
        tokens: &mut Tokens,
        answer: Result<Value, E>,
        moment: Moment,
    ) -> Result<(), E> {
        let Some(call) = self.next.take() else { return Ok(()) };
        if call == Call::Refresh {
            let jwt = read_jwt(token_of(&answer?), Some(&tokens.jwt.refresh))?;
            tokens.jwt_age = Age::new(jwt.expires_in, moment);
            tokens.jwt = jwt;
            self.jwt_is_fresh = true;
            self.next = self.session_is_due.then_some(Call::SessionRefresh);
            return Ok(());
        }
        match answer.and_then(|data| Ok(read_aws(token_of(&data))?)) {
            Ok((credentials, life)) => tokens.aws = Some((credentials, Age::new(life, moment))),
            Err(error) => self.next = Some(self.other_way(call, &error).ok_or(error)?),
        }
        Ok(())
    }

    /// Returns the call that can do better than a session call that failed.
    fn other_way<E: CallFailure>(&self, call: Call, error: &E) -> Option<Call> {
        let answer = error.answer()?;
        if call != Call::SessionRefresh {
            return None;
        }
        if !self.jwt_is_fresh && answer.code() == Some(401) {
            return Some(Call::Refresh);
        }
        // An answer that asks to wait is obeyed.
        let asks_to_wait = matches!(answer, ApiError::Http { retry_after: Some(_), .. }) || answer.code() == Some(429);
        (!asks_to_wait).then_some(Call::SecuredSignIn)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[derive(Debug, thiserror::Error)]
    enum AnyFailure {
        #[error(transparent)]
        Api(#[from] ApiError),
        #[error("nobody is there")]
        Unreachable,
    }

    impl CallFailure for AnyFailure {
        fn answer(&self) -> Option<&ApiError> {
            match self {
                AnyFailure::Api(error) => Some(error),
                AnyFailure::Unreachable => None,
            }
        }

        fn reached_cloud(&self) -> bool {
            self.answer().is_some()
        }
    }

    fn jwt() -> Value {
        json!({ "token": { "accessToken": "new", "refreshToken": "r2", "authenticationExpiresIn": 3600 } })
    }

    fn aws() -> Value {
        json!({ "token": { "accessKeyId": "k", "secretKey": "s", "sessionToken": "t", "authorizationExpiresIn": 3600 } })
    }

    fn code(code: i64) -> Result<Value, AnyFailure> {
        Err(ApiError::Code { code, message: String::new() }.into())
    }

    fn gateway(status: u16, retry_after: Option<Duration>) -> Result<Value, AnyFailure> {
        Err(ApiError::Http { status, code: None, message: String::new(), retry_after }.into())
    }

    fn tokens(moment: Moment) -> Tokens {
        let data = json!({ "token": {
            "accessToken": "a", "refreshToken": "r", "authenticationExpiresIn": 3600,
            "accessKeyId": "k", "secretKey": "s", "sessionToken": "t", "authorizationExpiresIn": 7200,
        } });
        Tokens::from_sign_in(&data, moment).unwrap()
    }

    /// Answers the calls in turn; returns which were made, and the end.
    fn walk(
        renewal: Renewal,
        later: Duration,
        answers: impl IntoIterator<Item = Result<Value, AnyFailure>>,
    ) -> (Vec<Call>, Result<(), NoCredentials<AnyFailure>>) {
        let start = Moment::start();
        let mut tokens = tokens(start);
        let moment = Moment { now: start.now + later, wall: start.wall + later };
        let mut renewing = Renewing::begin(renewal, &tokens, moment);
        let (mut calls, mut answers) = (Vec::new(), answers.into_iter());
        while let Some(call) = renewing.next() {
            calls.push(call);
            let answer = answers.next().expect("an answer for each call");
            if let Err(error) = renewing.answered(&mut tokens, answer, moment) {
                return (calls, Err(error.into()));
            }
        }
        assert!(answers.next().is_none(), "fewer calls than expected: {calls:?}");
        (calls, Ok(()))
    }

    #[test]
    fn only_what_is_due_is_renewed() {
        let cases = [
            (Renewal::IfExpiring, Duration::ZERO, vec![]),
            (Renewal::IfExpiring, HOUR, vec![Call::Refresh]),
            (Renewal::IfExpiring, 2 * HOUR, vec![Call::Refresh, Call::SessionRefresh]),
            (Renewal::Refused, Duration::ZERO, vec![Call::SessionRefresh]),
            (Renewal::All, Duration::ZERO, vec![Call::Refresh, Call::SessionRefresh]),
        ];
        for (renewal, later, wanted) in cases {
            let answers = wanted.iter().map(|call| Ok(if *call == Call::Refresh { jwt() } else { aws() }));
            let (calls, outcome) = walk(renewal, later, answers.collect::<Vec<_>>());
            assert!(calls == wanted && outcome.is_ok(), "{renewal:?} after {later:?}: {calls:?}");
        }
    }

    #[test]
    fn a_refused_access_token_is_renewed_once_and_then_the_secured_sign_in_is_the_last_way() {
        let answers = [code(401), Ok(jwt()), code(401), Ok(aws())];
        let (calls, outcome) = walk(Renewal::Refused, Duration::ZERO, answers);
        let wanted = [Call::SessionRefresh, Call::Refresh, Call::SessionRefresh, Call::SecuredSignIn];
        assert!(calls == wanted && outcome.is_ok(), "{calls:?}");
    }

    #[test]
    fn a_refusal_at_the_end_needs_the_password_and_trouble_does_not() {
        let refused = |answers| {
            matches!(walk(Renewal::Refused, Duration::ZERO, answers).1, Err(NoCredentials::SignInNeeded(Some(_))))
        };
        assert!(refused(vec![code(500), code(1002)]));
        assert!(refused(vec![code(401), code(401)]));
        let failed =
            |answers| matches!(walk(Renewal::Refused, Duration::ZERO, answers).1, Err(NoCredentials::Failed(_)));
        assert!(failed(vec![Err(AnyFailure::Unreachable)]));
        assert!(failed(vec![gateway(503, None), gateway(503, None)]));
        assert!(failed(vec![gateway(503, Some(HOUR))]), "a request to wait ends it");
        assert!(failed(vec![gateway(429, None)]));
    }

    #[test]
    fn an_answer_without_credentials_is_no_good_answer() {
        let (calls, outcome) = walk(Renewal::Refused, Duration::ZERO, [Ok(json!({})), Ok(aws())]);
        assert!(calls == [Call::SessionRefresh, Call::SecuredSignIn] && outcome.is_ok());
        let (_, outcome) = walk(Renewal::All, Duration::ZERO, [Ok(json!({}))]);
        assert!(matches!(outcome, Err(NoCredentials::SignInNeeded(Some(_)))));
    }
}
