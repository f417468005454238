//! What a device type is made of.
//!
//! A product is a folder with tables, and one line in [`PRODUCTS`]. Nothing of a product stands anywhere else: the
//! protocol ([`navilink`](crate::navilink)) knows none, and heater, home and outputs ask the [`Product`] of the heater.

pub mod capabilities;
pub mod control;
pub mod entity;
pub mod errors;
pub mod events;
pub mod measure;
mod nwp500;
pub mod payload;

use serde_json::Value;

use crate::navilink::encoding::{DecodeContext, Decoded, Object, Row, decode_rows, whole};
use crate::navilink::members::Members;
use crate::units::UnitsChoice;

use control::ControlRow;
use entity::Entity;
use errors::ErrorCodes;

/// Every product.
pub static PRODUCTS: &[&Product] = &[&nwp500::NWP500];

/// A device type.
#[derive(Debug)]
pub struct Product {
    /// `deviceType` (protocol reference, section 1).
    pub device_type: u32,
    /// What people call it.
    pub name: &'static str,
    /// Every field of its status.
    pub status: &'static [Row],
    /// Computes further members from a decoded status.
    pub derived: fn(&Members) -> Vec<(&'static str, Value)>,
    /// Every field of its device information. A capability that is `false` is not fitted.
    pub feature: &'static [Row],
    /// Its error codes.
    pub errors: ErrorCodes,
    /// What it can be told.
    pub controls: &'static [ControlRow],
    /// What Home Assistant shows of it, in tables.
    pub entities: &'static [&'static [Entity]],
}

/// Returns the product of a `deviceType`.
pub fn of(device_type: u32) -> Option<&'static Product> {
    PRODUCTS.iter().copied().find(|product| product.device_type == device_type)
}

/// Returns whether a `deviceType` is that of a product.
pub fn is_known(device_type: u32) -> bool {
    of(device_type).is_some()
}

/// Returns the names of all products.
pub fn names() -> String {
    PRODUCTS.iter().map(|product| product.name).collect::<Vec<_>>().join(" or ")
}

impl Product {
    /// Decodes a status to one flat object: the fields of the table in their order, then the derived members and `units`
    /// (contract, section 5).
    ///
    /// Without a usable `temperatureType` the units of [`UnitsChoice::Device`] are US, and without a usable
    /// `tempFormulaType` the formula of the outside temperature is that of type 0.
    pub fn decode_status(&self, status: &Object, choice: UnitsChoice) -> Decoded {
        decode(self.status, self.derived, status, choice)
    }

    /// Decodes device information to one flat object: the fields of the table in their order, then `units` (contract,
    /// section 5), settled as in a status.
    pub fn decode_feature(&self, feature: &Object, choice: UnitsChoice) -> Decoded {
        decode(self.feature, |_| Vec::new(), feature, choice)
    }

    /// Returns its entities.
    pub fn entities(&self) -> impl Iterator<Item = &'static Entity> {
        self.entities.iter().copied().flatten()
    }

    /// Returns the control of this name.
    pub fn control(&self, name: &str) -> Option<&'static ControlRow> {
        self.controls.iter().find(|row| row.name == name)
    }

    /// Says that there is no control of a name, and which there are.
    pub fn no_such_control(&self) -> String {
        let names: Vec<&str> = self.controls.iter().map(|row| row.name).collect();
        format!("there is no such setting; there are: {}", names.join(", "))
    }
}

fn decode(
    rows: &[Row],
    derived: fn(&Members) -> Vec<(&'static str, Value)>,
    told: &Object,
    choice: UnitsChoice,
) -> Decoded {
    let read = |key| told.get(key).and_then(|value| whole(value).ok());
    let units = choice.system(read("temperatureType"));
    let context = DecodeContext { units, formula: read("tempFormulaType").unwrap_or(0) };
    let (mut object, problems) = decode_rows(rows, told, context, "");
    object.extend(derived(&object));
    object.insert("units", units.as_str().into());
    Decoded { object, problems, unknown: unknown_keys(rows, told) }
}

/// Returns the keys that a table does not know.
pub fn unknown_keys(rows: &[Row], told: &Object) -> Vec<String> {
    // Nearly always there are none, and looking up each row is quicker than comparing each key with all of them.
    if rows.iter().filter(|row| told.contains_key(row.key)).count() == told.len() {
        return Vec::new();
    }
    told.keys().filter(|key| rows.iter().all(|row| row.key != key.as_str())).cloned().collect()
}
