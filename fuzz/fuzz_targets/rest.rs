//! Whatever the REST API answers is opened or refused; heaters that are read are written so that they are read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use navien2mqtt::foreign_text::Secrets;
use navien2mqtt::navilink::account::{open_envelope, read_aws, read_jwt, token_of};
use navien2mqtt::navilink::devices::{DeviceList, write_heaters};
use serde_json::Value;

fn read(data: &Value) -> DeviceList {
    let mut list = DeviceList::default();
    list.take_page(data, navien2mqtt::product::is_known);
    list
}

fuzz_target!(|data: &[u8]| {
    let Ok(data) = open_envelope(200, None, data, &Secrets::default()) else { return };
    let token = token_of(&data);
    let _ = (read_jwt(token, None), read_aws(token));
    let heaters = read(&data).heaters;
    assert_eq!(read(&write_heaters(&heaters)).heaters, heaters);
});
