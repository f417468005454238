//! What a device type is made of.
//!
//! A product is a folder with tables, and one line in [`PRODUCTS`]. Nothing of a product stands anywhere else: the
//! protocol ([`navilink`](crate::navilink)) knows none, and heater, home and outputs ask the [`Product`] of the heater.

pub mod control;
mod nwp500;
pub mod payload;

use control::ControlRow;

/// Every product.
pub static PRODUCTS: &[&Product] = &[&nwp500::NWP500];

/// A device type.
#[derive(Debug)]
pub struct Product {
    /// `deviceType` (protocol reference, section 1).
    pub device_type: u32,
    /// What it can be told.
    pub controls: &'static [ControlRow],
}

/// Returns the product of a `deviceType`.
pub fn of(device_type: u32) -> Option<&'static Product> {
    PRODUCTS.iter().copied().find(|product| product.device_type == device_type)
}

impl Product {
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
