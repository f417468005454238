//! The NWP500, a heat-pump water heater.

mod controls;

use super::Product;

/// Its tables.
pub static NWP500: Product = Product { device_type: 52, controls: controls::CONTROLS };
