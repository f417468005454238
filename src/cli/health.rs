//! `health`: asks the daemon that runs how it is, for container engines and scripts.

use super::{on_runtime, print_error, say};
use crate::config::Config;
use crate::exit::Exit;
use crate::io::http;

/// Asks whether it is healthy, or whether everything works when `ready` is wanted.
pub fn health(config: &Config, ready: bool) -> Exit {
    let Some(server) = &config.http else {
        print_error("there is nobody to ask: http.listen is not set");
        return Exit::Configuration;
    };
    let path = if ready { "/readyz" } else { "/healthz" };
    on_runtime(async {
        match http::get(server.listen, path).await {
            Ok((status, words)) if status.is_success() => {
                say(words);
                Exit::Success
            }
            Ok((_, words)) => {
                print_error(words);
                Exit::CloudUnavailable
            }
            Err(error) => {
                print_error(error);
                Exit::CloudUnavailable
            }
        }
    })
}
