//! Whatever the REST API answers is opened or refused; heaters that are read are written so that they are read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use navien2mqtt::navilink::account::{open_envelope, read_aws, read_heaters, read_jwt, token_of, write_heaters};

fuzz_target!(|data: &[u8]| {
    let Ok(data) = open_envelope(200, None, data) else { return };
    let token = token_of(&data);
    let _ = (read_jwt(token, None), read_aws(token));
    let heaters = read_heaters(&data).0;
    assert_eq!(read_heaters(&write_heaters(&heaters)).0, heaters);
});
