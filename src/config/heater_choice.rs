//! Which of the account's heaters are served.

use std::collections::BTreeSet;

use toml::de::DeValue;

use super::reader::{Reader, TableReader, describe};
use super::values::text;
use crate::model::{HeaterChoice, Mac, NotAMac};

/// Reads `account.heaters` and `account.exclude`; only one of them can be given.
pub fn read(r: &mut Reader<'_>, account: &mut TableReader<'_>) -> HeaterChoice {
    let heaters = account.take(r, "heaters", |value| match macs(value)? {
        none if none.is_empty() => Err("must name at least one heater; without this key, all are served".to_owned()),
        some => Ok(some),
    });
    let exclude = account.take(r, "exclude", macs);
    if account.wrote("heaters") && account.wrote("exclude") {
        let message = "cannot stand beside account.heaters, which names all that are served";
        r.report(account, "exclude", message);
    }
    match (heaters, exclude) {
        (Some(chosen), _) => HeaterChoice::Only(chosen),
        (None, Some(excluded)) if !excluded.is_empty() => HeaterChoice::AllBut(excluded),
        (None, _) => HeaterChoice::All,
    }
}

fn macs(value: &DeValue<'_>) -> Result<BTreeSet<Mac>, String> {
    let expected = "expected a list of MAC addresses, such as [\"04786332fca0\"]";
    let DeValue::Array(list) = value else { return Err(format!("{expected}, not {}", describe(value))) };
    let mut macs = BTreeSet::new();
    for entry in list {
        let mac = text(entry.get_ref()).map_err(|error| format!("{expected}; of an entry: {error}"))?;
        let mac: Mac = mac.parse().map_err(|error: NotAMac| error.to_string())?;
        if let Some(twice) = macs.replace(mac) {
            return Err(format!("names {twice} twice"));
        }
    }
    Ok(macs)
}
