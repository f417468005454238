//! The cloud's REST API (protocol reference, section 1). Nothing here retries but one call whose token had expired.

mod account;
mod client;

use std::time::Duration;

use crate::navilink::account::ApiError;
use crate::tokens::CallFailure;

pub use account::{Account, EnsureError, SignInError};
pub use client::RestClient;

/// Why a call failed; names nothing secret.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// The server's name could not be looked up.
    #[error("the name {host} cannot be looked up: {error}")]
    Lookup {
        /// The name.
        host: String,
        /// Why.
        error: String,
    },
    /// The server was not reached: TCP or TLS.
    #[error("the cloud cannot be reached: {0}")]
    Unreachable(String),
    /// The server's certificate is not good for its name, our roots or the time.
    #[error("the certificate of the cloud is not accepted: {0}")]
    Certificate(rustls::Error),
    /// No answer in time.
    #[error("the cloud did not answer within {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// The connection broke on the way.
    #[error("the answer of the cloud broke off: {0}")]
    Broken(String),
    /// The answer is larger than any that is expected.
    #[error("the answer of the cloud is larger than {0} bytes")]
    TooLarge(usize),
    /// The cloud rejected this very password before, so it was not asked.
    #[error("the cloud rejected this password at {at}; it is not shown again for {}", humantime::format_duration(*.again_in))]
    RejectedBefore {
        /// When it did, in words.
        at: String,
        /// How long it will not be asked.
        again_in: Duration,
    },
    /// An answer that is not what was asked for.
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl CallFailure for RestError {
    fn answer(&self) -> Option<&ApiError> {
        match self {
            RestError::Api(error) => Some(error),
            _ => None,
        }
    }

    fn reached_cloud(&self) -> bool {
        self.reached_cloud()
    }
}

impl RestError {
    /// Returns whether the cloud can have seen the request.
    pub fn reached_cloud(&self) -> bool {
        !matches!(
            self,
            RestError::Lookup { .. }
                | RestError::Unreachable(_)
                | RestError::Certificate(_)
                | RestError::RejectedBefore { .. }
        )
    }

    /// Returns the HTTP status or envelope code, when there was an answer with one.
    pub fn code(&self) -> Option<i64> {
        self.answer().and_then(ApiError::code)
    }

    /// Returns whether the cloud refused what was shown to it: [`ApiError::refuses`].
    pub fn refuses(&self) -> bool {
        self.answer().is_some_and(ApiError::refuses)
    }
}

#[cfg(test)]
#[cfg(feature = "simulator")]
mod tests;
